"""The flags that tell a script of the other processes of its run."""

import dataclasses

from absl import flags

from van_jax.parallel import processes

flags.disclaim_key_flags()  # They are the script's that defines them.


def define() -> None:
  """Defines --distributed, and what it may be told by hand."""
  flags.DEFINE_bool(
    "distributed",
    False,
    "This is one of several processes: the same command is started on each "
    "host of a TPU slice, a Slurm step, an Open MPI run or an indexed "
    "Kubernetes job, or with the three flags below, or "
    "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID in its "
    "environment.",
  )
  flags.DEFINE_string(
    "coordinator_address", None, "HOST:PORT of process 0, for --distributed."
  )
  flags.DEFINE_integer(
    "num_processes", None, "How many there are, for --distributed."
  )
  flags.DEFINE_integer(
    "process_id", None, "Which one this is, from 0, for --distributed."
  )


def value() -> processes.Group | None:
  """Returns what the flags say; None where this process is alone."""
  names = [field.name for field in dataclasses.fields(processes.Group)]
  given = {name: flags.FLAGS[name].value for name in names}
  by_hand = any(value is not None for value in given.values())
  if not by_hand and not flags.FLAGS["distributed"].value:
    return None
  return processes.Group(**given)
