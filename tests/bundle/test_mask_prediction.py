"""From a segmenter's bundle and images of any sizes to masks of those sizes."""

import dataclasses
from typing import TYPE_CHECKING, Any, assert_type

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image

from van_jax import bundle as bundle_lib, models
from van_jax.bundle import mask_prediction
from van_jax.data.images.dense_preprocessing import (
  DensePreprocessing,
  preprocess_whole,
)

if TYPE_CHECKING:

  def types(
    van: bundle_lib.Bundle[models.VAN],
    segmenter: bundle_lib.Bundle[models.Segmenter],
    read: bundle_lib.Bundle[Any],
  ) -> None:
    """Holds for type checkers: what is predicted is known by the model."""
    predict = bundle_lib.predict
    assert_type(predict(van, "a.jpg"), list[bundle_lib.Prediction])
    assert_type(predict(van, ["a.jpg"]), list[list[bundle_lib.Prediction]])
    assert_type(predict(segmenter, "a.jpg"), np.ndarray)
    assert_type(predict(segmenter, ["a.jpg"]), list[np.ndarray])
    assert_type(predict(read, "a.jpg"), Any)


K = 5
# The network sees 64 x 64 of all but the last, of which it sees 32 x 64.
SIZES = [(40, 60), (45, 45), (43, 62), (30, 130)]


@pytest.fixture(scope="module")
def bundle():
  """Returns a small segmenter, whose classes lie in patches."""
  van = models.VAN(
    (4,) * 4, (1,) * 4, (1,) * 4, num_classes=0, implementation="xla"
  )
  model = models.Segmenter(van, {"name": "fcn", "channels": 4}, None, K)
  random = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda leaf: random.normal(size=leaf.shape).astype(np.float32),
    models.variable_shapes(model),
  )
  variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
  shown = DensePreprocessing(scale=(64, 48))
  return bundle_lib.Bundle(
    model, variables, shown, None, {}, bundle_lib.SEGMENTATION
  )


@pytest.fixture(scope="module")
def images():
  """Returns an image of each size."""
  random = np.random.default_rng(1)
  return [random.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]


@pytest.fixture(scope="module")
def masks(bundle, images):
  """Returns the masks of all images, two at once."""
  mask_prediction._class_maps.cache_clear()
  return bundle_lib.predict(bundle, images, batch_size=2)


def logits_by_torch(bundle, image):
  """Returns logits at the image's size: via what the network saw."""
  shown = bundle.preprocessing
  pixels = preprocess_whole(image, shown)
  inputs = (pixels / 255 - np.array(shown.mean)) / np.array(shown.std)
  x = jax.jit(bundle.model.apply)(
    bundle.variables, jnp.asarray(inputs[None], jnp.float32)
  )
  x = torch.tensor(np.asarray(x)).movedim(3, 1)
  for size in (pixels.shape[:2], image.shape[:2]):
    x = torch.nn.functional.interpolate(
      x, size, mode="bilinear", align_corners=False
    )
  return x[0]


def test_a_mask_has_the_likeliest_class_of_each_pixel(bundle, images, masks):
  for image, mask in zip(images, masks, strict=True):
    assert mask.dtype == np.uint8
    assert mask.shape == image.shape[:2]
    logits = logits_by_torch(bundle, image)
    best, second = logits.topk(2, dim=0).values.numpy()
    sure = best - second > 1e-3 * np.abs(best)  # Sums in another order.
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(mask[sure], logits.argmax(0).numpy()[sure])
  assert len({*np.concatenate([mask.ravel() for mask in masks])}) > 1


def test_images_of_one_shape_share_a_program(bundle, masks):
  del masks  # Made by now: two and one of 64 x 64, and a flat one.
  run = mask_prediction._class_maps(bundle.model)
  assert run._cache_size() == 3


def test_one_image_gives_one_mask_from_a_file_too(
  bundle, images, masks, tmp_path
):
  Image.fromarray(images[3]).save(tmp_path / "a.png")
  mask = bundle_lib.predict(bundle, tmp_path / "a.png")
  np.testing.assert_array_equal(mask, masks[3])
  turned = Image.fromarray(np.rot90(images[3]))  # Anticlockwise.
  turned.getexif()[0x0112] = 6  # To be turned clockwise.
  turned.save(tmp_path / "b.png", exif=turned.getexif())
  shown = bundle.preprocessing.replace(exif_rotation=True)
  turning = dataclasses.replace(bundle, preprocessing=shown)
  mask = bundle_lib.predict(turning, tmp_path / "b.png")
  np.testing.assert_array_equal(mask, masks[3])


def test_a_generator_gives_a_list_in_its_order(bundle, images, masks):
  found = bundle_lib.predict(bundle, iter(images[::-1]), batch_size=2)
  assert [mask.shape for mask in found] == SIZES[::-1]
  assert bundle_lib.predict(bundle, []) == []


def test_where_logits_are_nan_there_is_no_class(bundle, images):
  variables = jax.tree.map(lambda x: np.full_like(x, np.nan), bundle.variables)
  broken = dataclasses.replace(bundle, variables=variables)
  assert (bundle_lib.predict(broken, images[3]) == 255).all()


@pytest.mark.parametrize(
  ("image", "options", "message"),
  [
    (np.zeros((40, 40, 3), np.uint8), {"top": 2}, "top=2 .*segmentation"),
    (np.zeros((40, 40, 3), np.uint8), {"batch_size": 0}, "batch_size=0"),
    (np.zeros((0, 4, 3), np.uint8), {}, "not empty"),
    (
      np.zeros((4, 40, 3), np.uint8),
      {},
      "image: .* 40 x 4 .* 64 x 8, a",
    ),
    ("nowhere.png", {}, r"nowhere\.png cannot be read"),
  ],
)
def test_what_gives_no_mask_is_said_in_a_line(bundle, image, options, message):
  shown = bundle.preprocessing.replace(multiple=8)
  bundle = dataclasses.replace(bundle, preprocessing=shown)
  with pytest.raises(ValueError, match=message) as caught:
    bundle_lib.predict(bundle, image, **options)
  assert "\n" not in str(caught.value)
