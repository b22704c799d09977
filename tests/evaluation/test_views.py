"""Several scales and mirrored images, as mmsegmentation's test-time ones."""

import dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from van_jax import parallel, tasks
from van_jax.evaluation import evaluator, views
from van_jax.ops import pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHAPE = (20, 50)  # Of what is answered.


def model(images):
  """Returns the stand-in's logits [B, K, h, w] for images [B, 3, H, W]."""
  images = jnp.asarray(images.numpy()).transpose(0, 2, 3, 1)
  logits = dense.apply()(dense.variables(), images, train=False)
  return torch.tensor(np.asarray(logits)).movedim(3, 1)


def large(x, size):
  return torch.nn.functional.interpolate(
    x, size, mode="bilinear", align_corners=False
  )


def aug_test(images, flips):
  """Returns the mean probabilities, as mmsegmentation's `aug_test`."""
  found = []
  for x in images:
    for flip in flips:
      seen = model(x.flip(3) if flip else x)
      own = large(large(seen, x.shape[2:]), SHAPE)
      probability = torch.softmax(own, 1)
      found.append(probability.flip(3) if flip else probability)
  return sum(found) / len(found)


@pytest.fixture
def images():
  numbers = np.random.default_rng(0)
  return numbers.normal(size=(2, 32, 64, 3)).astype(np.float32)


def mean_probability(images, **options):
  """Returns ours, [B, K, *SHAPE]."""
  apply = views.make_apply(dense.Dense().apply, **options)

  @jax.jit
  def run(variables, images):
    maps = pixels.map_pixels(
      lambda x: [x[..., k] for k in range(dense.CLASSES)],
      apply(variables, images, train=False),
      SHAPE,
    )
    return jnp.exp(jnp.stack(maps, 1))

  return run(dense.variables(), images)


def test_sizes_and_mirrors_are_those_of_mmsegmentation(images):
  other = images[:, :, ::-2] + 1
  given = [torch.tensor(x.copy()).movedim(3, 1) for x in (other, images)]
  np.testing.assert_allclose(
    mean_probability((other, images), flip=True),
    aug_test(given, (False, True)),
    atol=1e-5,  # Logits of up to 10 in float32, through four resizes.
  )


def test_the_task_scores_views():
  pictures, masks = dense.examples()
  task = tasks.create_task(
    name="segmentation", num_classes=dense.CLASSES, mean=MEAN, std=STD
  )

  def scores(devices, batches):
    step = evaluator.make_eval_step(
      apply=views.make_apply(dense.Dense().apply, flip=True),
      inputs=task.inputs,
      sums=task.sums,
      mesh=parallel.create_mesh(jax.devices()[:devices]),
    )
    return evaluator.evaluate(step, dense.variables(), batches, task.scores)

  found = scores(8, dense.batches(pictures, masks, 8))
  (batch,) = dense.batches(pictures, masks, 7)
  twice = batch | {"image": (batch["image"], batch["image"])}
  same = scores(1, [twice])  # The mean of equals is each of them.
  assert found.pop("loss") == pytest.approx(same.pop("loss"), rel=1e-5)
  assert found == same
  inputs = (pictures / 255 - MEAN) / STD
  x = torch.tensor(inputs, dtype=torch.float32).movedim(3, 1)
  right = pixels_ = 0
  for image, mask in zip(x, masks, strict=True):
    maps = []
    for flip in (False, True):
      seen = model((image.flip(2) if flip else image)[None])
      own = torch.softmax(large(large(seen, (32, 64)), mask.shape), 1)
      maps.append(own.flip(3) if flip else own)
    answer = torch.stack(maps).sum(0).argmax(1)[0].numpy()
    right += np.sum(answer == mask)
    pixels_ += np.sum(mask != 255)
  assert found["aAcc"] == right / pixels_


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"window": (32.5, 32)}, r"window=\(32\.5, 32\) must be two whole n"),
    ({"window": ("32", "32")}, r"window=\('32', '32'\) must be two whole n"),
    ({"stride": (4, 4)}, r"stride=\(4, 4\) needs evaluation\.window"),
    ({"window": (32, 0)}, r"window=\(32, 0\) must be two whole n"),
    (
      {"window": (32, 32), "stride": (32, 33)},
      r"stride=\(32, 33\) must be at most evaluation\.window=\(32, 32\)",
    ),
  ],
)
def test_windows_that_are_none_are_errors(options, message):
  with pytest.raises(ValueError, match=message):
    views.make_apply(dense.Dense().apply, **options)
