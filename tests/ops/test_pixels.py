"""Functions of the pixels of upsampled maps: their sizes, views and bands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from van_jax.ops import pixels

SHAPE = (11, 14)
SIZES = [(11, 9), (5, 14), (7, 7)]
SEEN = (9, 13)  # Of the network, whose maps are of (3, 4).


def by_torch(x, size):
  """Returns one image's map [h, w, K] at another size."""
  x = torch.nn.functional.interpolate(
    torch.tensor(np.asarray(x)).movedim(2, 0)[None],
    size,
    mode="bilinear",
    align_corners=False,
  )
  return x[0].movedim(0, 2).numpy()


def in_sizes(logits, i):
  """Returns image i's map as mmsegmentation has it: seen, then its own."""
  return by_torch(by_torch(logits[i], SEEN), SIZES[i])


@pytest.fixture(params=[8 << 20, 4 * 3 * 14 * 5], ids=["whole", "3 rows"])
def band_bytes(request, monkeypatch):
  """Has bands hold all rows, or 3, which do not divide 11."""
  monkeypatch.setattr(pixels, "BAND_BYTES", request.param)


def classes(logits):
  """Gives each class by itself."""
  return [logits[..., k] for k in range(logits.shape[-1])]


def test_images_of_one_batch_go_to_sizes_of_their_own(key, band_bytes):
  logits = jax.random.normal(key, (3, 3, 4, 5))

  @jax.jit
  def resized(logits, sizes):
    view = pixels.View(logits, SEEN)
    maps = pixels.map_pixels(classes, [view], SHAPE, sizes=sizes)
    return jnp.stack(maps, -1)

  maps = resized(logits, np.array(SIZES))
  assert maps.shape == (3, *SHAPE, 5)
  for i, (height, width) in enumerate(SIZES):
    np.testing.assert_allclose(  # Two resizes, each to 5e-6.
      maps[i, :height, :width], in_sizes(logits, i), atol=1e-5
    )


def test_views_are_averaged_as_probabilities(key, band_bytes):
  logits = 5 * jax.random.normal(key, (2, 3, 3, 4, 5))

  @jax.jit
  def averaged(logits, sizes):
    views = [pixels.View(view, SEEN) for view in logits]
    maps = pixels.map_pixels(classes, views, SHAPE, sizes=sizes)
    return jnp.stack(maps, -1)

  maps = averaged(logits, np.array(SIZES))
  for i, (height, width) in enumerate(SIZES):
    each = [in_sizes(view, i) for view in logits]
    mean = np.mean([torch.softmax(torch.tensor(x), 2) for x in each], axis=0)
    ours = np.exp(maps[i, :height, :width])
    np.testing.assert_allclose(ours, mean, atol=2e-5)  # Slope 1/4 of 5e-5.


def test_of_views_that_are_sure_no_logarithm_is_infinite():
  """Probabilities of e^-300 are 0 in float32; their logarithms are not."""
  logits = np.zeros((2, 1, 2, 2, 3), np.float32)
  logits[0, ..., 0], logits[1, ..., 0] = 300, 400
  logits[:, :, 0, :, 2] = -np.inf  # A class that is ruled out in the first row.
  logits[1, :, 1, 1] = np.nan

  mean = jax.jit(lambda views: pixels._together([*views]))(logits)[0]
  # The mean of e^-300 and e^-400 is half of the first.
  rare = -300 - np.log(2)
  for found, expected in (
    (mean[0], [[0, rare, -np.inf]] * 2),
    (mean[1], [[0, rare, rare], [np.nan] * 3]),
  ):
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [SHAPE, (12, 20)], ids=["any", "multiple"])
def test_values_and_gradients_of_bands_are_torchs(key, band_bytes, shape):
  logits = jax.random.normal(key, (3, 3, 4, 5))
  factors = np.random.default_rng(1).normal(size=(3, *shape))
  factors = factors.astype(np.float32)

  @jax.jit
  def gradient(logits):
    def weighted(logits):
      values = pixels.map_pixels(
        lambda x, part: part * jax.nn.logsumexp(x, axis=-1),
        [pixels.View(logits, shape)],
        shape,
        jnp.asarray(factors),
      )
      return jnp.sum(values), values

    return jax.grad(weighted, has_aux=True)(logits)

  x = torch.tensor(np.asarray(logits), requires_grad=True)
  large = torch.nn.functional.interpolate(
    x.movedim(3, 1), shape, mode="bilinear", align_corners=False
  )
  expected = torch.logsumexp(large, 1) * torch.tensor(factors)
  expected.sum().backward()
  gradients, values = gradient(logits)
  np.testing.assert_allclose(values, expected.detach(), atol=1e-5)
  # Sums of some 20 terms of up to 3.
  np.testing.assert_allclose(gradients, np.asarray(x.grad), atol=2e-5)


def test_the_upsampled_maps_never_exist_whole():
  logits = jax.ShapeDtypeStruct((2, 64, 64, 64), jnp.float32)
  shape = (256, 512)

  def loss(logits):
    view = pixels.View(logits, shape)
    return jnp.sum(
      pixels.map_pixels(lambda x: jax.nn.logsumexp(x, axis=-1), [view], shape)
    )

  compiled = jax.jit(jax.grad(loss)).lower(logits).compile()
  memory = compiled.memory_analysis()
  assert memory is not None
  whole = 2 * 256 * 512 * 64 * 4  # 67 MB; softmax and gradient have copies.
  assert memory.temp_size_in_bytes < whole


def test_the_likeliest_is_the_first_of_equals_and_none_beside_a_nan():
  logits = jnp.array([[1.0, 3.0, 3.0], [2.0, jnp.nan, 1.0], [0.0, -1.0, 5.0]])
  np.testing.assert_array_equal(pixels.likeliest(logits), [1, 3, 2])


def test_upsampled_nans_have_no_class():
  logits = jnp.full((1, 8, 16, 5), jnp.nan)
  sizes = np.array([(20, 60)])

  @jax.jit
  def classes(logits, sizes):
    return pixels.class_map([pixels.View(logits, (32, 64))], (24, 61), sizes)

  assert (np.asarray(classes(logits, sizes)) == 5).all()
