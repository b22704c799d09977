"""Trains a VAN.

python train.py --config=configs/digits.py --workdir=runs/digits
"""

from absl import app, flags
from ml_collections import config_flags

from van_jax.cli import command

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The run: configs/NAME.py, or configs/NAME.py:ARGUMENT. --config.KEY=VALUE "
  "sets a key of it; `python -m van_jax keys` prints all keys, as "
  "configs/default.py has them.",
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder of the run, local or gs://...; a run that is there goes on.",
  required=True,
)
_START_OVER = flags.DEFINE_bool(
  "start_over",
  False,
  "Sets a run that is in --workdir aside as WORKDIR.1, and trains anew.",
)
_INIT_FROM = flags.DEFINE_string(
  "init_from", "", "WORKDIR[:STEP|best]: a new run starts from that state."
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed",
  False,
  "This is one of several processes: the same command is started on each host "
  "of a TPU pod or a cluster, or with JAX_COORDINATOR_ADDRESS, "
  "JAX_NUM_PROCESSES and JAX_PROCESS_ID set.",
)


def main(_) -> None:
  """Runs the config; its scores are the last line, one line of JSON."""
  from van_jax import experiment

  command.run(
    lambda: experiment.train(
      _CONFIG.value,
      workdir=_WORKDIR.value,
      start_over=_START_OVER.value,
      init_from=_INIT_FROM.value,
      distributed=_DISTRIBUTED.value,
    )
  )


if __name__ == "__main__":
  flags.mark_flag_as_required("config")
  app.run(main, flags_parser=command.parse_flags)
