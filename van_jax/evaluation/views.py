"""Test-time views of images: several scales, mirrored ones, and windows.

As mmsegmentation does it: each view's probabilities are brought to the label's
size, and the mean over all views decides. Here they stay logits at the
network's own stride; `ops.pixels` makes the mean, pixel by pixel, and a task's
sums take views for a model's outputs.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from van_jax import errors
from van_jax.evaluation import sliding
from van_jax.ops.pixels import View


def make_apply(
  apply: Callable[..., Any],
  *,
  flip: bool = False,
  window: Sequence[int] | None = None,
  stride: Sequence[int] | None = None,
) -> Callable[..., list[View]]:
  """Returns `(variables, images, *, train) -> views`, for `make_eval_step`.

  Images are float [B, H, W, 3], or a tuple of such: the same images in several
  sizes, each made of the files by who reads them.

  Args:
    apply: `(variables, images, *, train) -> logits [B, h, w, K]`, a model's.
    flip: has each size mirrored left to right, too.
    window: (height, width) of windows in which a larger image is looked at;
      None for whole images.
    stride: between windows, down and across; None for two thirds of them.

  Raises:
    UserError: for windows that are none.
  """
  if window is not None:
    apply = sliding.make_apply(apply, window=window, stride=stride)
  elif stride is not None:
    raise errors.UserError(
      f"evaluation.stride={tuple(stride)} needs evaluation.window, of which it "
      "is the stride; set that, or neither."
    )

  def apply_all(variables, images, *, train):
    views = []
    for scaled in images if isinstance(images, tuple) else (images,):
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
