"""Stands for a segmentation network: two convolutions, logits at stride 4."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

CLASSES = 5


class Dense(nn.Module):
  """Maps [B, H, W, 3] to [B, ceil(H / 4), ceil(W / 4), 5]."""

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    """Returns the logits."""
    for features in (8, CLASSES):
      x = nn.Conv(features, (3, 3), strides=2, padding=1)(jnp.tanh(x))
    return 4 * x


@functools.cache
def variables():
  """Returns the network's parameters."""
  init = jax.jit(Dense().init, static_argnames="train")
  return init(jax.random.key(2), jnp.zeros((1, 8, 8, 3)), train=False)


@functools.cache
def apply():
  """Returns the jitted `(variables, images, train=False) -> logits`."""
  return jax.jit(Dense().apply, static_argnames="train")


def examples(shape=(32, 64)):
  """Returns seven images of one shape, and their masks of other sizes."""
  numbers = np.random.default_rng(7)
  sizes = [(30, 61), (20, 40), (48, 70), (1, 9), (32, 64), (48, 33), (16, 32)]
  images = numbers.integers(0, 256, (len(sizes), *shape, 3), dtype=np.uint8)
  masks = [numbers.integers(0, CLASSES, size) for size in sizes]
  for mask in masks[:-1]:
    mask[numbers.random(mask.shape) < 0.2] = 255
  masks[2][:] = 255  # All of it is void.
  return images, masks


def batches(images, masks, size, padded=(48, 70)):
  """Yields evaluation batches; the last one is filled with a wrong example."""
  labels = np.full((len(masks), *padded), 255, np.uint8)
  for i, mask in enumerate(masks):
    labels[i, : mask.shape[0], : mask.shape[1]] = mask
  sizes = np.array([mask.shape for mask in masks], np.int32)
  for start in range(0, len(masks), size):
    part = [x[start : start + size] for x in (images, labels, sizes)]
    short = size - len(part[0])
    image, label, own = (
      np.concatenate([x, np.repeat(x[-1:], short, axis=0)]) for x in part
    )
    yield {
      "image": image,
      "label": label,
      "size": own,
      "mask": np.arange(size) < size - short,
    }
