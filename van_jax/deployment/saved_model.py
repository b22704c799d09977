"""A TensorFlow SavedModel, whose one operation is the StableHLO program."""

import pathlib
from typing import Any

import jax
import numpy as np
from jax import export
from jax.extend import mlir
from jax.extend.mlir import ir, passmanager
from jax.extend.mlir.dialects import stablehlo as stablehlo_dialect

from van_jax.data.tensorflow import tf
from van_jax.deployment import stablehlo
from van_jax.deployment.program import IMAGES, Program

# Of StableHLO; later programs read it for years. jax2tf writes what JAX's is a
# month later, and TensorFlow may have none as new: 2.21 reads 1.13, and JAX
# 0.10.2 writes 1.15.
_VERSION = "1.0.0"
# Of composites (erf is one) TensorFlow finds no shapes while the batch is open.
_PASSES = """builtin.module(
  func.func(stablehlo-legalize-composite-to-call), inline, symbol-dce)"""


def write(program: Program, folder: pathlib.Path) -> None:
  """Writes the program and its weights, as variables, into the folder."""
  exported = export.export(
    jax.jit(program.apply), platforms=stablehlo.PLATFORMS
  )(program.variables, stablehlo.images(program))
  module = tf.Module()
  module.weights = [
    tf.Variable(np.asarray(leaf), trainable=False)
    for leaf in jax.tree.leaves(program.variables)
  ]
  images = tf.TensorSpec(
    (None, *program.image_shape), tf.as_dtype(program.dtype), name=IMAGES
  )

  @tf.function(input_signature=[images], autograph=False, jit_compile=True)
  def serve(images):
    return {program.output: _call(exported, [*module.weights, images])}

  module.serve = serve
  tf.saved_model.save(
    module, str(folder), signatures={"serving_default": serve}
  )


def _call(exported: export.Exported, arguments: list[Any]) -> Any:
  """Returns the result of the operation that runs a StableHLO program."""
  from tensorflow.compiler.tf2xla.python import xla

  (logits,) = exported.out_avals
  results: Any = xla.call_module(
    [arguments[i] for i in exported.module_kept_var_idx],
    version=exported.calling_convention_version,
    module=_older(exported.mlir_module_serialized),
    Tout=[tf.as_dtype(logits.dtype)],
    Sout=[(None, *logits.shape[1:])],
    platforms=[name.upper() for name in exported.platforms],
    use_shardy_partitioner=True,
  )
  return results[0]


def _older(module: bytes) -> bytes:
  """Returns a module in the words of an older StableHLO."""
  stablehlo_dialect.register_stablehlo_passes()
  with ir.Context():
    parsed = mlir.deserialize_portable_artifact(module)
    passmanager.PassManager.parse(_PASSES).run(parsed.operation)
    return mlir.serialize_portable_artifact(parsed, _VERSION)
