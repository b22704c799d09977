"""Grad-CAM against closed forms, in a network made by hand."""

import numpy as np
import pytest

from van_jax import errors
from van_jax.analysis import grad_cam

RED, GREEN = 0, 1  # Classes, and the channels that speak for them.


@pytest.fixture(scope="module")
def network(make_hand_made):
  """Returns a classifier of colours, by the mean of a channel."""
  model, variables = make_hand_made("lka")
  variables["params"]["head"]["kernel"] = np.eye(3, 2, dtype=np.float32)
  return model, variables


def signals(*places):
  """Returns 96 x 96 images; of a place (row, column, channel) each."""
  images = np.zeros((len(places), 96, 96, 3), np.float32)
  for i, (row, column, channel) in enumerate(places):
    images[i, row, column, channel] = 1
  return images


def hat(row, column):
  """Returns 1 at a pixel, falling to 0 at 32 pixels off, both ways."""
  pixels = np.arange(96)
  down = np.maximum(1 - np.abs(np.minimum(pixels, 64) - row) / 32, 0)
  across = np.maximum(1 - np.abs(np.minimum(pixels, 64) - column) / 32, 0)
  return down[:, None] * across


def test_the_class_lights_where_its_signal_is(network):
  images = signals((32, 64, RED), (0, 32, GREEN))
  cam = grad_cam(network[0], network[1], images)
  assert cam.shape == (2, 96, 96)
  assert cam.dtype == np.float32
  # The map is sqrt(2) there and 0 elsewhere, and the weight 1 / 9: 1 at most.
  np.testing.assert_allclose(cam[0], hat(32, 64), atol=1e-6)
  np.testing.assert_allclose(cam[1], hat(0, 32), atol=1e-6)


def test_what_speaks_against_the_class_is_dark(network):
  images = signals((32, 64, RED), (0, 32, GREEN))
  cam = grad_cam(network[0], network[1], images, classes=GREEN)
  assert not cam[0].any()
  np.testing.assert_allclose(cam[1], hat(0, 32), atol=1e-6)
  swapped = grad_cam(network[0], network[1], images, classes=[GREEN, RED])
  assert not swapped.any()


def test_earlier_stages_light_there_too(make_hand_made):
  # An epsilon that keeps the gradient of grey ground as small as the rest.
  model, variables = make_hand_made("lka", layer_norm_epsilon=1.0)
  variables["params"]["head"]["kernel"] = np.eye(3, 2, dtype=np.float32)
  cam = grad_cam(model, variables, signals((32, 64, RED)), stage=2)[0]
  assert cam[32, 64] == 1
  lit = np.argwhere(cam > 0)
  assert np.abs(lit - (32, 64)).max() == 8 - 1  # The stride less one


def test_dense_heads_speak_by_the_mean_of_their_logits(network, pixelwise):
  model, variables = network
  params = dict(variables["params"])
  head = params.pop("head")
  around = {
    "params": {"backbone": params, "head": head},
    "batch_stats": {"backbone": variables["batch_stats"]},
  }
  dense = pixelwise(model.clone(num_classes=0))
  images = signals((32, 64, RED), (0, 32, GREEN))
  ours = grad_cam(dense, around, images, classes=RED)
  np.testing.assert_allclose(
    ours, grad_cam(network[0], network[1], images, classes=RED), atol=1e-6
  )


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"classes": 2}, "classes=2 must be from 0 to 1"),
    ({"classes": [0, 1]}, "one for each of the 1 images"),
    ({"stage": 5}, "stage=5"),
  ],
)
def test_what_is_not_there_is_refused(options, message, network):
  with pytest.raises(errors.UserError, match=message):
    grad_cam(network[0], network[1], signals((0, 0, RED)), **options)


def test_features_have_no_classes(network):
  model, variables = network
  with pytest.raises(errors.UserError, match="num_classes=0"):
    grad_cam(model.clone(num_classes=0), variables, signals((0, 0, RED)))
