"""The function that is exported: images to logits, weights and all."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from van_jax import bundle as bundle_lib, errors, models
from van_jax.data.images import normalization

INCLUDED, NONE = PREPROCESSINGS = ("included", "none")
IMAGES = "images"  # The name of the input.
BATCH = "batch"  # The symbolic size of the first axis.
# Protocol buffers and FlatBuffers, which the formats are made of.
_LIMIT = 2**31


@dataclasses.dataclass(frozen=True)
class Program:
  """What is exported of a bundle, the same for all formats.

  Attributes:
    apply: (variables, images) to float32 outputs; traceable for any batch.
    variables: the weights.
    image_size: pixels a side of the images.
    dtype: of the images.
    preprocessing: "included": images are pixels of 0 to 255, uint8; "none":
      they are normalised, float32.
    output: the name of what comes out: "logits", or "features" without a head.
    width: of the outputs: classes or channels.
    folded: whether BatchNorm is in the kernels beside it.
  """

  apply: Callable[[Any, jax.Array], jax.Array]
  variables: Any
  image_size: int
  dtype: Any
  preprocessing: str
  output: str
  width: int
  folded: bool

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """The shape of one image, (H, W, 3)."""
    return (self.image_size, self.image_size, 3)


def create_program(
  bundle: bundle_lib.Bundle, *, preprocessing: str, fold_batch_norm: bool
) -> Program:
  """Returns what is exported of a bundle.

  It is made of XLA's own operations, in float32: the kernels that van_jax has
  for each platform are calls of this process's own code.

  Args:
    bundle: the weights.
    preprocessing: one of PREPROCESSINGS.
    fold_batch_norm: leave its passes out, equal to rounding.

  Raises:
    UserError: if `preprocessing` is neither, or the weights are too many for
      one file.
  """
  if preprocessing not in PREPROCESSINGS:
    raise errors.UserError(
      f"preprocessing={preprocessing!r} must be {INCLUDED} (pixels in) or "
      f"{NONE} (normalised images in)."
    )
  size = sum(leaf.nbytes for leaf in jax.tree.leaves(bundle.variables))
  if size >= _LIMIT:
    raise errors.UserError(
      f"the weights have {size / 1e9:.1f} GB, and files of these formats hold "
      f"at most {_LIMIT / 1e9:.1f}; keep the bundle."
    )
  model: Any = bundle.model.clone(
    implementation="xla", dtype=jnp.float32, remat=False
  )
  variables = bundle.variables
  if fold_batch_norm and not model.folded:
    model, variables = models.fold_batch_norm(model, variables)
  shown = bundle.preprocessing

  def apply(variables, images):
    if preprocessing == INCLUDED:
      images = normalization.normalize(images, mean=shown.mean, std=shown.std)
    return model.apply(variables, images, train=False)

  return Program(
    apply=apply,
    variables=variables,
    image_size=shown.image_size,
    dtype=jnp.uint8 if preprocessing == INCLUDED else jnp.float32,
    preprocessing=preprocessing,
    output="logits" if model.num_classes else "features",
    width=model.num_classes or model.widths[-1],
    folded=model.folded,
  )
