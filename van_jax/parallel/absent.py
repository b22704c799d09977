"""Devices that are not here, for compilers that need none of them."""

import importlib.metadata
import importlib.util
import os
from typing import Any

import jax
from jax.experimental import topologies as jax_topologies

from van_jax import errors
from van_jax.parallel import graphics_cards
from van_jax.parallel.topologies import TPUS, Topology

# JAX's extras for NVIDIA GPUs, one of which is enough: the first is what ours,
# `pip install "van_jax[cuda]"`, brings.
CUDA_EXTRAS = ("cuda13", "cuda12")
_CPU_COUNT = "--xla_force_host_platform_device_count"


def environment(topology: Topology) -> dict[str, str]:
  """Returns the variables with which a process must start to compile for it."""
  variables = {
    "JAX_PLATFORMS": "cpu",  # What the process itself computes on.
    "TPU_SKIP_MDS_QUERY": "1",  # No TPU's metadata server to wait for.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
  }
  flags = [
    flag
    for flag in os.environ.get("XLA_FLAGS", "").split()
    if not flag.startswith(_CPU_COUNT)
  ]
  if topology.platform == "cpu":
    flags.append(f"{_CPU_COUNT}={topology.devices}")
  else:
    flags = []  # The others' compilers abort at flags of the CPU's.
  return variables | {"XLA_FLAGS": " ".join(flags)}


def check_compiler(topology: Topology) -> None:
  """Raises UserError where the compiler for it is not installed."""
  if topology.platform == "tpu" and not _has("libtpu"):
    raise errors.UserError(
      f"{topology.name} needs the compiler of TPUs, which is not installed: "
      f"pip install '{needed_by_jax('tpu', 'libtpu')}'; no TPU is needed."
    )
  if topology.platform == "cuda" and _cuda_plugin() is None:
    raise errors.UserError(
      f"{topology.name} needs JAX's plugin for NVIDIA GPUs, which is not "
      f"installed: pip install 'jax[{CUDA_EXTRAS[0]}]=={jax.__version__}'; no "
      "GPU is needed."
    )


def devices(topology: Topology) -> list[Any]:
  """Returns JAX's devices to compile for; they compute nothing.

  Those of a CPU do: they are this process's own. The process has been started
  with `environment`.

  Raises:
    UserError: where the compiler for it is not installed.
  """
  check_compiler(topology)
  if topology.platform == "cpu":
    found = list(jax.devices("cpu"))
  elif topology.platform == "cuda":
    found = _gpus(topology)
  else:
    found = _tpus(topology)
  assert len(found) == topology.devices, (topology, len(found))
  return found


def _tpus(topology: Topology) -> list[Any]:
  options = dict(TPUS[topology.kind].options)
  if topology.slices > 1:
    options["num_slices"] = topology.slices
  if topology.chips_a_host == 1:  # Less than the host that libtpu expects.
    options["chips_per_host_bounds"] = (1, 1, 1)
  shape = "x".join(map(str, topology.shape))
  return list(
    jax_topologies.get_topology_desc(
      platform="tpu", topology_name=f"{topology.kind}:{shape}", **options
    ).devices
  )


def _gpus(topology: Topology) -> list[Any]:
  from jax._src import xla_bridge  # Nothing public registers a plugin.

  try:
    xla_bridge.discover_pjrt_plugins()
  except jax.errors.JaxRuntimeError as error:
    if "ALREADY_EXISTS" not in str(error):
      raise
  return list(
    jax_topologies.get_topology_desc(
      "",
      "cuda",
      topology=f"1x{topology.slices}x{topology.shape[0]}",
      target_config=graphics_cards.target_config(topology.kind),
    ).devices
  )


def _has(module: str) -> bool:
  return importlib.util.find_spec(module) is not None


def _cuda_plugin() -> str | None:
  """Returns the module of JAX's plugin for GPUs, if there is one."""
  names = [f"jax_{name}_plugin" for name in CUDA_EXTRAS]
  return next(filter(_has, names), None)


def needed_by_jax(extra: str, package: str) -> str:
  """Returns which version of a package this JAX wants: "libtpu==0.0.42.*"."""
  for requirement in importlib.metadata.requires("jax") or ():
    needed, _, marker = requirement.partition(";")
    if needed.startswith(package) and extra in marker:
      return needed.strip()
  return package
