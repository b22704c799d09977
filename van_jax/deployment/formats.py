"""The formats of programs, by name: how each is checked for, and written."""

import dataclasses
import pathlib
from collections.abc import Callable

from van_jax.deployment import onnx_model, saved_model, stablehlo
from van_jax.deployment.program import Program


@dataclasses.dataclass(frozen=True)
class Format:
  """How a format is written.

  Attributes:
    write: writes a program into a folder that is there, and local.
    file: the name of the program in it.
    libraries: the packages that make it, whose versions are noted.
    check: raises UserError where they are missing.
  """

  write: Callable[[Program, pathlib.Path], None]
  file: str
  libraries: tuple[str, ...]
  check: Callable[[], None] = lambda: None


FORMATS = {
  "stablehlo": Format(stablehlo.write, stablehlo.NAME, ("jax", "jaxlib")),
  "savedmodel": Format(
    saved_model.write, "saved_model.pb", ("jax", "tensorflow")
  ),
  "onnx": Format(
    onnx_model.write,
    onnx_model.NAME,
    ("jax", "jax2onnx", "onnx"),
    onnx_model.check,
  ),
}
