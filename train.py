"""Trains a VAN.

python train.py --config=configs/digits.py --workdir=runs/digits
"""

from absl import app, flags
from ml_collections import config_flags

from van_jax.cli import command, process_flags

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
process_flags.define()


def main(_) -> None:
  """Runs the config; its scores are the last line, one line of JSON."""
  from van_jax import experiment

  command.run(
    lambda: experiment.train(
      _CONFIG.value,
      workdir=_WORKDIR.value,
      start_over=_START_OVER.value,
      init_from=_INIT_FROM.value,
      distributed=process_flags.value(),
    )
  )


if __name__ == "__main__":
  flags.mark_flag_as_required("config")
  app.run(main, flags_parser=command.parse_flags)
