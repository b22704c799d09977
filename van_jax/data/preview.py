"""Draws the training images of one step, as the network sees them.

python -m van_jax.data.preview --config=configs/imagenet1k.py:van_b0 \
  --config.data.directory=DIR --output=grid.png --count=64 --step=0
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
_OUTPUT = flags.DEFINE_string(
  "output", None, "PNG file to write the grid to.", required=True
)
_COUNT = flags.DEFINE_integer(
  "count",
  None,
  "Images, the first of the step's batch; 64, or the whole batch if it is "
  "smaller, when left out.",
)
_STEP = flags.DEFINE_integer("step", 0, "Updates done before the step; from 0.")
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replace the file if it is there."
)


def main(_) -> None:
  """Draws; what was drawn is the last line, one line of JSON."""
  from van_jax import experiment

  command.run(
    lambda: experiment.draw_preview(
      _CONFIG.value,
      output=_OUTPUT.value,
      count=_COUNT.value,
      step=_STEP.value,
      overwrite=_OVERWRITE.value,
    )
  )


if __name__ == "__main__":
  flags.mark_flag_as_required("config")
  app.run(main, flags_parser=command.parse_flags)
