"""Occlusion of a linear classifier, whose answers are known in closed form."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from van_jax import errors
from van_jax.analysis import occlusion

SIZE, PATCH, FILL = 10, 4, 0.25


class Linear(nn.Module):
  """Logits that are a sum over pixels."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, 3] to [B, 3]."""
    return nn.Dense(3, use_bias=False)(x.reshape(len(x), -1))


@pytest.fixture(scope="module")
def linear():
  """Returns two images, the variables, and the classifier's probabilities."""
  generator = np.random.default_rng(0)
  images = generator.standard_normal((2, SIZE, SIZE, 3), "f")
  kernel = 0.1 * generator.standard_normal((images[0].size, 3), "f")

  def probabilities(image):
    logits = image.astype(np.float64).ravel() @ kernel
    return np.exp(logits) / np.exp(logits).sum()

  return images, {"params": {"Dense_0": {"kernel": kernel}}}, probabilities


def contributions(image, probabilities, number, starts):
  """Returns the mean fall over the patches on each pixel, by plain loops."""
  falls = [[[] for _ in range(SIZE)] for _ in range(SIZE)]
  for top in starts:
    for left in starts:
      hidden = image.copy()
      hidden[top : top + PATCH, left : left + PATCH] = FILL
      fall = (probabilities(image) - probabilities(hidden))[number]
      for row in range(top, top + PATCH):
        for column in range(left, left + PATCH):
          falls[row][column].append(fall)
  return np.array([[np.mean(cell) for cell in row] for row in falls])


@pytest.mark.parametrize(
  # With steps of 3 the last patch is at the edge; of 4, nearer than a step.
  ("stride", "starts"),
  [(3, (0, 3, 6)), (4, (0, 4, 6))],
)
def test_pixels_get_the_mean_fall_of_the_patches_on_them(
  stride, starts, linear
):
  images, variables, probabilities = linear
  ours = occlusion(
    Linear(),
    variables,
    images,
    classes=[2, 0],
    patch=PATCH,
    stride=stride,
    fill=FILL,
    batch_size=4,  # 9 patches do not fill 3 batches.
  )
  for image, one, number in zip(images, ours, (2, 0), strict=True):
    expected = contributions(image, probabilities, number, starts)
    # Float32's probabilities, of which two are subtracted.
    np.testing.assert_allclose(one, expected, atol=1e-6)


def test_the_likeliest_class_is_that_of_the_whole_image(linear):
  images, variables, probabilities = linear
  likeliest = [int(np.argmax(probabilities(image))) for image in images]
  options = {"patch": PATCH, "stride": 2, "batch_size": 16}
  np.testing.assert_array_equal(
    occlusion(Linear(), variables, images, **options),
    occlusion(Linear(), variables, images, classes=likeliest, **options),
  )


@pytest.mark.parametrize("sizes", [(4, 5), (11, 1), (4, 0), (4.5, 2)])
def test_sizes_that_leave_pixels_out_are_refused(sizes, linear):
  images, variables, _ = linear
  patch, stride = sizes
  with pytest.raises(errors.UserError, match=f"patch={patch} and stride="):
    occlusion(Linear(), variables, images, patch=patch, stride=stride)
