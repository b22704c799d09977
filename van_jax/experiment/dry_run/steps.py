"""Steps compiled for one mesh of absent devices, and read."""

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from van_jax import parallel
from van_jax.analysis import program as program_lib
from van_jax.experiment.dry_run.trial import Compiled
from van_jax.parallel import topologies
from van_jax.training import compiling

# libtpu writes its schedules there: told before it is loaded, and once.
SCHEDULES = tempfile.TemporaryDirectory(prefix="van_jax_schedules_")
_TOO_MUCH = 1 << 43  # Bytes that no chip has.


@dataclasses.dataclass(frozen=True)
class Steps:
  """Compiles steps for one mesh.

  Attributes:
    topology: of the mesh.
    mesh: of absent devices.
    available: bytes that the compiler lets a program take; None if all.
  """

  topology: topologies.Topology
  mesh: jax.sharding.Mesh
  available: int | None

  def compile(
    self,
    name: str,
    step: Any,
    arguments: tuple[Any, ...],
    *,
    images: int,
    micro_batches: int = 1,
    xla_flags: Mapping[str, Any] | None = None,
    advice: Mapping[str, Any] | None = None,
  ) -> Compiled:
    """Returns what the compiler makes of a jitted step.

    Args:
      name: for its report.
      step: jitted.
      arguments: of it, shapes with shardings.
      images: a run of it, over all devices.
      micro_batches: that it cuts them into.
      xla_flags: of the config, for the training step.
      advice: arguments of `analysis.program.warnings`; None for no warnings.
    """
    lowered = step.lower(*arguments)
    for file in pathlib.Path(SCHEDULES.name).iterdir():
      file.unlink()
    at_once = images // micro_batches // self.topology.devices
    begin = time.monotonic()
    compiled = _compiled_or_refused(lowered, xla_flags or {})
    seconds = time.monotonic() - begin
    result, warnings = compiled, []
    if not isinstance(compiled, program_lib.Refusal):
      result = program_lib.read(
        compiled,
        mesh_shape=self.mesh,
        slices=self.topology.slices,
        schedule_folder=SCHEDULES.name,
      )
      if advice is not None:
        warnings = program_lib.warnings(
          result, images_per_chip=at_once, **advice
        )
    lines = program_lib.describe(
      result,
      name=name,
      images=images,
      available_bytes=self.available,
      compile_seconds=seconds,
      warnings=warnings,
    )
    return Compiled(
      images=at_once,
      seconds=seconds,
      figures=program_lib.as_json(result),
      lines=lines,
      warnings=warnings,
    )


def _compiled_or_refused(lowered: Any, xla_flags: Mapping[str, Any]) -> Any:
  """Returns the compiled program, or the Refusal of one that is too large."""
  try:
    return compiling.compile_with(lowered, xla_flags)
  except jax.errors.JaxRuntimeError as error:
    if (refused := program_lib.refusal(error)) is None:
      raise
    return refused


def available(mesh: jax.sharding.Mesh, platform: str) -> int | None:
  """Returns the bytes of a device by the compiler's refusal to take more."""
  if platform != "tpu":  # The others' compilers refuse nothing.
    return None
  whole = jax.ShapeDtypeStruct(
    (_TOO_MUCH,), jnp.int8, sharding=parallel.replicated(mesh)
  )
  try:
    jax.jit(lambda x: x + 1).lower(whole).compile()
  except jax.errors.JaxRuntimeError as error:
    refused = program_lib.refusal(error)
    return refused and refused.available_bytes
  return None
