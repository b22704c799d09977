"""Whether a process that has joined no others may work alone."""

import jax
from absl import logging

from van_jax import errors
from van_jax.parallel.processes import cluster, runtime

_ON_TPU = (
  "the hosts of a TPU slice only start together. Start the same command with "
  "--distributed on all of them, at once; to use the chips of this host alone, "
  "set TPU_PROCESS_BOUNDS=1,1,1 and TPU_CHIPS_PER_PROCESS_BOUNDS=2,2,1 (as "
  "many as it has)."
)


def check_alone() -> None:
  """Checks, before devices are touched, that a process may run alone.

  Raises:
    UserError: on one of several hosts of a TPU, where it would wait for ever.
  """
  if jax.distributed.is_initialized():
    return
  if (hosts := cluster.tpu_hosts()) > 1:
    raise errors.UserError(
      f"this is one of {hosts} hosts of a TPU, and --distributed is not given: "
      f"{_ON_TPU}"
    )
  if which := cluster.scheduled():
    logging.warning(
      "This is process %s, and --distributed is not given: it works alone.",
      which,
    )


def check_joined() -> None:
  """Checks, with devices touched, that they are those of all processes.

  Raises:
    UserError: when they are more, or fewer.
  """
  if not jax.distributed.is_initialized():
    if jax.process_count() > 1:
      raise errors.UserError(
        f"JAX sees the devices of {jax.process_count()} hosts, and "
        f"--distributed is not given: {_ON_TPU}"
      )
    return
  if jax.process_count() != runtime.count():
    raise errors.UserError(
      f"num_processes={runtime.count()}, and the devices are those of "
      f"{jax.process_count()} hosts: start one process on each host of the "
      "slice, and no others."
    )
