"""StableHLO: one file that jax.export reads, on any of three platforms."""

import pathlib

import jax
from jax import export

from van_jax.deployment.program import BATCH, Program

NAME = "model.stablehlo"
PLATFORMS = ("cpu", "tpu", "cuda")


def write(program: Program, folder: pathlib.Path) -> None:
  """Writes the program, with the weights as its constants."""
  (batch,) = export.symbolic_shape(BATCH)
  images = jax.ShapeDtypeStruct((batch, *program.image_shape), program.dtype)
  run = jax.jit(lambda images: program.apply(program.variables, images))
  exported = export.export(run, platforms=PLATFORMS)(images)
  (folder / NAME).write_bytes(exported.serialize())
