"""What a compiled program needs, does and exchanges, and the report of it.

Pure functions of what the compiler tells (its figures, the text of the program,
its refusals) and of plain values. Nothing is compiled here.

  found = program.read(compiled, mesh_shape=mesh)
  for line in program.describe(found, name="training step"):
    print(line)
"""

from van_jax.analysis.program.advice import warnings
from van_jax.analysis.program.collectives import Collective
from van_jax.analysis.program.padding import PaddedWidth, Padding
from van_jax.analysis.program.program import Program, read
from van_jax.analysis.program.refusal import Refusal, refusal
from van_jax.analysis.program.report import as_json, describe, size, verdict

__all__ = [
  "Collective",
  "PaddedWidth",
  "Padding",
  "Program",
  "Refusal",
  "as_json",
  "describe",
  "read",
  "refusal",
  "size",
  "verdict",
  "warnings",
]
