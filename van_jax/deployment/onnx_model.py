"""ONNX, by jax2onnx; the only file that imports it."""

import pathlib
from typing import Any

import jax

from van_jax import errors
from van_jax.deployment.program import BATCH, IMAGES, Program

NAME = "model.onnx"
OPSET = 21


def check() -> None:
  """Raises UserError unless the converter is installed."""
  _converter()


def write(program: Program, folder: pathlib.Path) -> None:
  """Writes the program, with the weights as initializers of its graph."""
  onnx, jax2onnx = _converter()
  model = jax2onnx.to_onnx(
    lambda images: program.apply(program.variables, images),
    [jax.ShapeDtypeStruct((BATCH, *program.image_shape), program.dtype)],
    model_name="van",
    opset=OPSET,
    input_names=[IMAGES],
    output_names=[program.output],
  )
  onnx.checker.check_model(model)
  onnx.save_model(model, str(folder / NAME))


def _converter() -> tuple[Any, Any]:
  try:
    import jax2onnx
    import onnx
  except ImportError as error:
    raise errors.UserError(
      f"to=onnx needs jax2onnx, and {error.name} is not installed; "
      'pip install "van_jax[export]".'
    ) from error
  return onnx, jax2onnx
