"""A TensorFlow SavedModel, whose one operation is the StableHLO program."""

import pathlib
from typing import Any

import jax
import numpy as np

from van_jax.data.tensorflow import tf
from van_jax.deployment import stablehlo
from van_jax.deployment.program import BATCH, Program

IMAGES = "images"  # The name of the input in the signature.


def write(program: Program, folder: pathlib.Path) -> None:
  """Writes the program and its weights, as variables, into the folder."""
  module = tf.Module()
  module.weights = jax.tree.map(
    lambda leaf: tf.Variable(np.asarray(leaf), trainable=False),
    program.variables,
  )
  run = _converted(program)
  images = tf.TensorSpec(
    (None, *program.image_shape), tf.as_dtype(program.dtype), name=IMAGES
  )

  @tf.function(input_signature=[images], autograph=False, jit_compile=True)
  def serve(images):
    return {program.output: run(module.weights, images)}

  module.serve = serve
  tf.saved_model.save(
    module, str(folder), signatures={"serving_default": serve}
  )


def _converted(program: Program) -> Any:
  from jax.experimental import jax2tf  # Imports TensorFlow.

  return jax2tf.convert(
    program.apply,
    polymorphic_shapes=[None, f"({BATCH}, ...)"],
    with_gradient=False,
    native_serialization_platforms=stablehlo.PLATFORMS,
  )
