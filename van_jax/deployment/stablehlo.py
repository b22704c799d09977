"""StableHLO: one file that jax.export reads, on any of three platforms."""

import pathlib
from typing import Any

import jax
from jax import export

from van_jax.deployment.program import BATCH, Program

NAME = "model.stablehlo"
PLATFORMS = ("cpu", "tpu", "cuda")


def write(program: Program, folder: pathlib.Path) -> None:
  """Writes the program, with the weights as its constants."""
  exported = export.export(
    jax.jit(lambda images: program.apply(program.variables, images)),
    platforms=PLATFORMS,
  )(images(program))
  (folder / NAME).write_bytes(exported.serialize())


def images(program: Program) -> Any:
  """Returns the shape and dtype of a batch of images, of any size."""
  (batch,) = export.symbolic_shape(BATCH)
  return jax.ShapeDtypeStruct((batch, *program.image_shape), program.dtype)
