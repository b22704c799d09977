"""Test-time views of images: several scales, mirrored ones, and windows.

As mmsegmentation does it: each view's probabilities are brought to the label's
size, and the mean over all views decides. Here they stay logits at the
network's own stride; `ops.pixels` makes the mean, pixel by pixel, and a task's
sums take views for a model's outputs.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from van_jax import errors
from van_jax.evaluation import sliding
from van_jax.ops import bilinear
from van_jax.ops.pixels import View

MULTIPLE = 32  # Pixels that a side is rounded up to, as at the first scale.


def make_apply(
  apply: Callable[..., Any],
  *,
  ratios: Sequence[float] = (1.0,),
  flip: bool = False,
  window: Sequence[int] | None = None,
  stride: Sequence[int] | None = None,
) -> Callable[..., list[View]]:
  """Returns `(variables, images, *, train) -> views`, for `make_eval_step`.

  Images are float [B, H, W, 3], of the size of ratio 1: those of other ratios
  are resized from them, bilinearly and without antialiasing as OpenCV does it,
  their sides rounded up to multiples of 32. Or they are a tuple, one of each
  ratio, made of the files by who reads them: as mmsegmentation has them, which
  is better where a file is larger than ratio 1.

  Args:
    apply: `(variables, images, *, train) -> logits [B, h, w, K]`, a model's.
    ratios: of the images' size; 0.5, 0.75, 1, 1.25, 1.5 and 1.75 are those of
      published multi-scale figures, with `flip`.
    flip: has each scale mirrored left to right, too.
    window: (height, width) of windows in which a larger image is looked at;
      None for whole images.
    stride: between windows, down and across; None for two thirds of them.

  Raises:
    UserError: for ratios or windows that are none.
  """
  _check_ratios(ratios)
  if window is not None:
    apply = sliding.make_apply(apply, window=window, stride=stride)
  elif stride is not None:
    raise errors.UserError(
      f"evaluation.stride={tuple(stride)} needs evaluation.window, of which it "
      "is the stride; set that, or neither."
    )

  def apply_all(variables, images, *, train):
    views = []
    for scaled in _scales(images, ratios):
      size = (scaled.shape[1], scaled.shape[2])
      if not flip:
        views.append(View(apply(variables, scaled, train=train), size))
        continue
      plain, mirrored = lax.map(  # One program, and the memory of one.
        functools.partial(apply, variables, train=train),
        jnp.stack([scaled, scaled[:, :, ::-1]]),
      )
      # Mirrored back before it is resized, which is alike from either side.
      views += [View(plain, size), View(mirrored[:, :, ::-1], size)]
    return views

  return apply_all


def _scales(images: Any, ratios: Sequence[float]) -> list[jax.Array]:
  """Returns the images in the size of each ratio."""
  if isinstance(images, tuple):
    if len(images) != len(ratios):
      raise errors.UserError(
        f"image has {len(images)} sizes and must have one for each of "
        f"evaluation.ratios={tuple(ratios)}."
      )
    return list(images)
  height, width = images.shape[1:3]
  return [
    images
    if ratio == 1
    else bilinear.resize(images, (_side(height, ratio), _side(width, ratio)))
    for ratio in ratios
  ]


def _side(size: int, ratio: float) -> int:
  return MULTIPLE * math.ceil(int(size * ratio + 0.5) / MULTIPLE)


def _check_ratios(ratios: Sequence[float]) -> None:
  numbers = all(isinstance(ratio, int | float) for ratio in ratios)
  if not ratios or not numbers or not all(0 < r < math.inf for r in ratios):
    raise errors.UserError(
      f"evaluation.ratios={tuple(ratios)} must be one or more numbers above 0; "
      "(1.0,) is one scale."
    )
