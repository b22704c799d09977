"""The TPU compiler on a machine without a TPU.

Import this before jax: libtpu reads its settings once.
"""

import os
import pathlib
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")

import jax
from jax.sharding import SingleDeviceSharding

from van_jax.analysis.program import dumps
from van_jax.parallel import absent, topologies

_DUMP = tempfile.TemporaryDirectory()
os.environ["LIBTPU_INIT_ARGS"] = dumps.libtpu_arguments(_DUMP.name)
SCHEDULES = pathlib.Path(_DUMP.name)  # Of the program compiled last.


def compile_for(topology: str, function, *arguments) -> tuple[str, float]:
  """Returns the optimised HLO of a jitted function, and seconds it took.

  Args:
    topology: v5e:2x2, say; the program is for one chip of it.
    function: of the arguments.
    *arguments: trees of arrays or ShapeDtypeStructs.
  """
  device, *_ = absent.devices(topologies.parse(topology))
  sharding = SingleDeviceSharding(device)
  shapes = jax.tree.map(
    lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding),
    arguments,
  )
  lowered = jax.jit(function).lower(*shapes)
  for file in SCHEDULES.iterdir():
    file.unlink()
  start = time.perf_counter()
  text = lowered.compile().as_text()
  return str(text), time.perf_counter() - start
