"""Scores a bundle or a workdir on an evaluation split, or on suites.

python eval.py --checkpoint=runs/digits
python eval.py --checkpoint=bundles/van_b0 --data_directory=DIR --split=val
"""

from absl import app, flags
from ml_collections import config_flags

from van_jax.cli import command

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The data, configs/NAME.py[:ARGUMENT]; the weights' own run's if absent.",
  lock_config=True,
)
_CHECKPOINT = flags.DEFINE_string(
  "checkpoint", None, "A bundle's folder, or a workdir.", required=True
)
_STEP = flags.DEFINE_string(
  "step", "latest", "Of a workdir: latest, best, or a number."
)
_DATA_NAME = flags.DEFINE_string(
  "data_name", None, "For config.data.name: folder, digits, a TFDS name, ..."
)
_DATA_DIRECTORY = flags.DEFINE_string(
  "data_directory", None, "For config.data.directory: where the data lies."
)
_SPLIT = flags.DEFINE_string(
  "split", None, "For config.data.eval_split: val, test, 'train[90%:]', ..."
)
_BATCH_SIZE = flags.DEFINE_integer(
  "batch_size", None, "For config.evaluation.batch_size: images a step."
)
_CLASS_MAP = flags.DEFINE_string(
  "class_map", None, "File of lines DATA'S-CLASS,WEIGHTS'-CLASS (or a tab)."
)
_TRUST = flags.DEFINE_bool(
  "trust_class_order", False, "Class i is class i, whatever the names."
)
_SUITE = flags.DEFINE_string(
  "suite", None, "Instead of the split: val, real, v2, a, r, sketch, c[,...]."
)
_SUITE_DIRECTORY = flags.DEFINE_string(
  "suite_directory", None, "Holds the suites; config.data.directory if absent."
)
_FOLD = flags.DEFINE_bool(
  "fold_batch_norm", False, "Fold BatchNorm into the kernels beside it."
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "JSON file for all scores, per-class accuracy too."
)
_PREDICTIONS = flags.DEFINE_string(
  "predictions", None, "CSV file: image, label and five answers a line."
)
_CONFUSION = flags.DEFINE_string(
  "confusion_matrix", None, "CSV or NPY file: true by predicted classes."
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "One of several processes: all hosts start this."
)


def _overridden():
  if _CONFIG.value is None:
    return {}
  return config_flags.get_override_values(flags.FLAGS["config"])


def main(_) -> None:
  """Scores; top-1, top-5 and count are the last line, one line of JSON."""
  from van_jax import experiment

  command.run(
    lambda: experiment.evaluate(
      _CONFIG.value,
      checkpoint=_CHECKPOINT.value,
      step=_STEP.value,
      fold_batch_norm=_FOLD.value,
      data_name=_DATA_NAME.value,
      data_directory=_DATA_DIRECTORY.value,
      split=_SPLIT.value,
      batch_size=_BATCH_SIZE.value,
      class_map=_CLASS_MAP.value,
      trust_class_order=_TRUST.value,
      suite=_SUITE.value,
      suite_directory=_SUITE_DIRECTORY.value,
      overridden=_overridden(),
      output=_OUTPUT.value,
      predictions=_PREDICTIONS.value,
      confusion_matrix=_CONFUSION.value,
      distributed=_DISTRIBUTED.value,
    )
  )


if __name__ == "__main__":
  app.run(main, flags_parser=command.parse_flags)
