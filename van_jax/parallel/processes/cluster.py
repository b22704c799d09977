"""Who the processes of a run are: by flags, the environment, or a cluster."""

import dataclasses
import os
import warnings
from typing import Any

import jax

from van_jax import errors
from van_jax.parallel.processes import runtime

# Of the coordinator on Cloud TPU. JAX's own, 8482, is not among those that
# Google's firewall rules for a TPU's network open (jax issue 35905).
_TPU_PORT = "8476"
_TPU_KINDS = ("gketpu", "gcetpu")
_VARIABLES = {
  "coordinator_address": "JAX_COORDINATOR_ADDRESS",
  "num_processes": "JAX_NUM_PROCESSES",
  "process_id": "JAX_PROCESS_ID",
}
_KNOWN = "Cloud TPU, Slurm, Open MPI and Kubernetes"
# Of schedulers that start many processes: how many, and which one this is.
_SCHEDULERS = {
  "Slurm": ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
  "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
}
# How many processes share a host: "1", or Slurm's "1(x4)".
_ON_A_HOST = ("SLURM_STEP_TASKS_PER_NODE", "OMPI_COMM_WORLD_LOCAL_SIZE")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
  """What a user says of the processes; None: the environment is to say it.

  Attributes:
    coordinator_address: HOST:PORT of process 0, reachable from all.
    num_processes: in all.
    process_id: which one this is, from 0.
  """

  coordinator_address: str | None = None
  num_processes: int | None = None
  process_id: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
  """A process's place among the others.

  Attributes:
    host: of process 0.
    port: it listens at.
    count: of processes.
    index: of this one.
    local_devices: that it may use; None for all of its host.
    source: who says so.
  """

  host: str
  port: int
  count: int
  index: int
  local_devices: list[int] | None
  source: str

  @property
  def address(self) -> str:
    """Returns HOST:PORT of process 0."""
    return f"{self.host}:{self.port}"


def find(given: Group, *, seconds: float) -> Place:
  """Returns the place of this process, as far as it is known by name.

  Args:
    given: by hand; it counts before the environment's JAX_* variables, and
      those before what a cluster says.
    seconds: to wait for the name of process 0's host to be known.

  Raises:
    UserError: when something is missing or makes no sense.
  """
  values = {
    name: os.environ.get(variable) if value is None else value
    for (name, variable), value in zip(
      _VARIABLES.items(), dataclasses.astuple(given), strict=True
    )
  }
  source = "the flags and JAX_* variables"
  kind = _present()
  if missing := [name for name, value in values.items() if value is None]:
    if kind is None:
      raise _unknown(missing)
    values |= _asked(kind, missing, seconds)
    source = f"what JAX finds of {kind.name or kind.__name__}"
  host, port = _split(str(values["coordinator_address"]))
  count = _whole("num_processes", values["num_processes"])
  index = _whole("process_id", values["process_id"])
  if not 0 <= index < count:
    raise errors.UserError(
      f"process_id={index} must be from 0 to {count - 1}, below num_processes="
      f"{count}, by {source}."
    )
  return Place(
    host=host,
    port=port,
    count=count,
    index=index,
    local_devices=_local_devices(kind),
    source=source,
  )


def tpu_hosts() -> int:
  """Returns how many hosts the TPU of this one has, 1 where it has none.

  Nothing but the environment is asked, and on a TPU's host its metadata.
  """
  platforms = getattr(jax.config, "jax_platforms", None)
  if platforms and "tpu" not in platforms:
    return 1
  for name in ("TPU_PROCESS_BOUNDS", "TPU_HOST_BOUNDS"):
    if os.environ.get(name) == "1,1,1":
      return 1  # Asked for this host's own chips.
  kind = _present(_TPU_KINDS)
  try:
    return kind.get_process_count() if kind else 1
  except Exception:  # No metadata server, of the many that there may be.
    return len(os.environ.get("TPU_WORKER_HOSTNAMES", "").split(","))


def scheduled() -> str:
  """Returns "3 of 8 by Slurm" where this is one of several; else ""."""
  for name, (count, index) in _SCHEDULERS.items():
    if os.environ.get(count, "1") not in ("", "1"):
      return f"{os.environ.get(index)} of {os.environ[count]} by {name}"
  return ""


def _present(names: tuple[str, ...] = ()) -> Any:
  """Returns JAX's kind of cluster that this host is in, or None."""
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # What Kubernetes lacks, `_unknown` says.
    for kind in runtime.clusters():
      if (not names or kind.name in names) and kind.is_env_present():
        return kind
  return None


def _asked(kind: Any, missing: list[str], seconds: float) -> dict[str, Any]:
  """Returns what a cluster says of the missing values.

  Raises:
    UserError: when it does not.
  """
  port = os.environ.get("JAX_COORDINATOR_PORT")
  if port is None and kind.name in _TPU_KINDS:
    port = _TPU_PORT
  ask = {
    "coordinator_address": lambda: kind.get_coordinator_address(
      timeout_secs=round(seconds), override_coordinator_port=port
    ),
    "num_processes": kind.get_process_count,
    "process_id": kind.get_process_id,
  }
  try:
    return {name: ask[name]() for name in missing}
  except Exception as error:  # Of HTTP, an API's client, or the environment.
    stale = " (or clear the stale MEGASCALE_* variables)"
    raise errors.UserError(
      f"--distributed: JAX finds {kind.name or kind.__name__} and cannot learn "
      f"{', '.join(missing)} from it ({type(error).__name__}: {error}); set "
      f"{', '.join(_VARIABLES[name] for name in missing)} by hand"
      f"{stale if 'MEGASCALE_COORDINATOR_ADDRESS' in os.environ else ''}."
    ) from error


def _unknown(missing: list[str]) -> errors.UserError:
  """Returns what to say where no cluster completes what is given."""
  variables = [_VARIABLES[name] for name in missing]
  more = ""
  if "KUBERNETES_SERVICE_HOST" in os.environ:
    more = " On Kubernetes JAX can ask, if the package `kubernetes` is there."
  return errors.UserError(
    f"--distributed needs {', '.join(variables)} in the environment too (or "
    f"{', '.join(f'--{name}' for name in missing)}): no cluster that JAX knows "
    f"({_KNOWN}) is found on this host. Start the same command on every host "
    f"with all three set, or leave --distributed out on one host alone.{more}"
  )


def _split(address: str) -> tuple[str, int]:
  host, _, port = address.rpartition(":")
  if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
    raise errors.UserError(
      f"coordinator_address={address} must be HOST:PORT of process 0, "
      f"{host or address}:{_TPU_PORT} say."
    )
  return host, int(port)


def _whole(name: str, value: Any) -> int:
  try:
    return int(value)
  except ValueError:
    raise errors.UserError(
      f"{name}={value!r} must be a whole number."
    ) from None


def _local_devices(kind: Any) -> list[int] | None:
  """Returns the devices of a host that are this process's; None for all.

  Where a scheduler starts one process a device, each has its own, as JAX
  decides; one process alone on its host has all of them.
  """
  if given := os.environ.get("JAX_LOCAL_DEVICE_IDS"):
    return [_whole("JAX_LOCAL_DEVICE_IDS", i) for i in given.split(",")]
  alone = any(
    os.environ.get(name, "").partition("(")[0] == "1" for name in _ON_A_HOST
  )
  if kind is None or kind.name in _TPU_KINDS or alone:
    return None
  local = kind.get_local_process_id()
  return None if local is None else [local]
