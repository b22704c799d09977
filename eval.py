"""Scores a bundle or a workdir on a config's evaluation split, or on suites.

python eval.py --config=configs/digits.py --checkpoint=runs/digits
"""

from absl import app, flags
from ml_collections import config_flags

from van_jax.cli import command

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The data, and the model that the weights are of: configs/NAME.py, or "
  "configs/NAME.py:ARGUMENT. --config.KEY=VALUE sets a key of it; `python -m "
  "van_jax keys` prints all keys, as configs/default.py has them.",
  lock_config=True,
)
_CHECKPOINT = flags.DEFINE_string(
  "checkpoint",
  None,
  "What to score: a bundle's folder, or a run's workdir.",
  required=True,
)
_STEP = flags.DEFINE_string(
  "step", "latest", "Which checkpoint of a workdir: latest, best, or a number."
)
_SUITE = flags.DEFINE_string(
  "suite",
  None,
  "ImageNet's test sets to score on instead of the config's split, with commas "
  "between: val (ImageNet's own), real (its reassessed labels), v2, a, r, "
  "sketch, c (corruptions).",
)
_SUITE_DIRECTORY = flags.DEFINE_string(
  "suite_directory",
  None,
  "Folder with the suites' folders; config.data.directory when left out.",
)
_FOLD = flags.DEFINE_bool(
  "fold_batch_norm",
  False,
  "Fold BatchNorm into the kernels beside it: faster, equal but for rounding.",
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "JSON file to write all scores to, each class's too."
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed",
  False,
  "This is one of several processes, as train.py --help says.",
)


def main(_) -> None:
  """Scores; top-1, top-5 and count are the last line, one line of JSON."""
  from van_jax import experiment

  command.run(
    lambda: experiment.evaluate(
      _CONFIG.value,
      checkpoint=_CHECKPOINT.value,
      step=_STEP.value,
      fold_batch_norm=_FOLD.value,
      suite=_SUITE.value,
      suite_directory=_SUITE_DIRECTORY.value,
      overridden=config_flags.get_override_values(flags.FLAGS["config"]),
      output=_OUTPUT.value,
      distributed=_DISTRIBUTED.value,
    )
  )


if __name__ == "__main__":
  flags.mark_flag_as_required("config")
  app.run(main, flags_parser=command.parse_flags)
