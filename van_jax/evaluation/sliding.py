"""Sliding windows: large images looked at in parts that overlap."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from van_jax import errors
from van_jax.ops import bilinear


def make_apply(
  apply: Callable[..., Any],
  *,
  window: Sequence[int],
  stride: Sequence[int] | None = None,
) -> Callable[..., jax.Array]:
  """Returns `(variables, images, *, train) -> logits [B, H, W, K]`.

  The mean of the logits of all windows that a pixel lies in, each brought to
  its window's size, as mmsegmentation's `slide_inference`. The last window of
  a row or column ends where the image does; one of an image that is smaller is
  as large as the image. All windows are one program, in a loop.

  Args:
    apply: `(variables, images, *, train) -> logits [B, h, w, K]`, a model's.
    window: (height, width).
    stride: down and across; None for two thirds of the window, rounded down
      (341 of 512).

  Raises:
    UserError: for a window or a stride that is none, or leaves gaps.
  """
  _check_pair("window", window)
  if stride is None:
    stride = [2 * size // 3 for size in window]
  _check_pair("stride", stride)
  _check_reach(window, stride)

  def apply_windows(variables, images, *, train):
    height, width = (
      min(size, whole)
      for size, whole in zip(window, images.shape[1:3], strict=True)
    )
    corners = [
      starts(whole, size, step)
      for whole, size, step in zip(
        images.shape[1:3], (height, width), stride, strict=True
      )
    ]
    size = (len(images), height, width)

    def look(corner):
      top, left = corner
      part = lax.dynamic_slice(
        images, (0, top, left, 0), (*size, images.shape[3])
      )
      logits = apply(variables, part, train=train)
      return bilinear.resize(logits, (height, width))

    def add(total, corner):
      place = (0, corner[0], corner[1], 0)
      seen = lax.dynamic_slice(total, place, (*size, total.shape[3]))
      return lax.dynamic_update_slice(total, seen + look(corner), place), None

    every = np.array([*itertools.product(*corners)], np.int32)
    classes = jax.eval_shape(look, every[0]).shape[-1]
    total = jnp.zeros((*images.shape[:3], classes), jnp.float32)
    total, _ = lax.scan(add, total, every)
    times = [
      _coverage(starts, size, whole)
      for starts, size, whole in zip(
        corners, (height, width), images.shape[1:3], strict=True
      )
    ]
    return total / np.outer(*times)[None, :, :, None]

  return apply_windows


def starts(whole: int, size: int, stride: int) -> list[int]:
  """Returns where the windows along one side begin.

  Args:
    whole: pixels of the side.
    size: of a window, at most `whole`.
    stride: between them; the last one's is shorter where it must be.

  >>> starts(10, 4, 3), starts(11, 4, 3), starts(3, 3, 3)
  ([0, 3, 6], [0, 3, 6, 7], [0])
  """
  count = -(-(whole - size) // stride) + 1
  return [min(i * stride, whole - size) for i in range(count)]


def _coverage(starts: list[int], size: int, whole: int) -> np.ndarray:
  """Returns in how many windows each place of a side lies, float32."""
  places = np.arange(whole)
  inside = [(start <= places) & (places < start + size) for start in starts]
  return np.array(inside, np.float32).sum(axis=0)


def _check_pair(name: str, pair: Sequence[int]) -> None:
  whole = all(isinstance(n, int | np.integer) and n >= 1 for n in pair)
  if len(pair) != 2 or not whole:
    raise errors.UserError(
      f"evaluation.{name}={tuple(pair)} must be two whole numbers of pixels, "
      "down and across, of 1 or more; (512, 512), say."
    )


def _check_reach(window: Sequence[int], stride: Sequence[int]) -> None:
  if stride[0] > window[0] or stride[1] > window[1]:
    raise errors.UserError(
      f"evaluation.stride={tuple(stride)} must be at most evaluation.window="
      f"{tuple(window)}, or pixels between windows are never seen."
    )
