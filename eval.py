"""Scores a bundle or a workdir on an evaluation split, or on suites.

python eval.py --checkpoint=runs/digits
python eval.py --checkpoint=bundles/van_b0 --data_directory=DIR --split=val
"""

import importlib.util
import runpy

# By its path: to import van_jax takes seconds, and signals do not wait.
_found = importlib.util.find_spec("van_jax")
assert _found is not None
assert _found.submodule_search_locations
runpy.run_path(f"{_found.submodule_search_locations[0]}/cli/first_second.py")

from absl import app, flags  # noqa: E402
from ml_collections import config_flags  # noqa: E402

from van_jax.cli import command, process_flags  # noqa: E402

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The data, and the model that the weights are of: configs/NAME.py, or "
  "configs/NAME.py:ARGUMENT; when left out, that of the weights' own run. "
  "--config.KEY=VALUE sets a key of it; `python -m van_jax keys` prints all "
  "keys, as configs/default.py has them.",
  lock_config=True,
)
_CHECKPOINT = flags.DEFINE_string(
  "checkpoint",
  None,
  "What to score: a bundle's folder, a run's workdir, a released name (van_b0),"
  " https://... or hf://OWNER/NAME.",
  required=True,
)
_STEP = flags.DEFINE_string(
  "step", "latest", "Which checkpoint of a workdir: latest, best, or a number."
)
_DATA_NAME = flags.DEFINE_string(
  "data_name",
  None,
  "Kind of data, in place of config.data.name: folder, digits, or a prepared "
  "TFDS data set's name. Of converted weights folder, when left out.",
)
_DATA_DIRECTORY = flags.DEFINE_string(
  "data_directory",
  None,
  "Where the data lies, in place of config.data.directory: of a folder data "
  "set the folder that holds SPLIT/CLASS/NAME.jpg.",
)
_SPLIT = flags.DEFINE_string(
  "split",
  None,
  "What to score on, in place of config.data.eval_split: val, 'train[90%:]'.",
)
_UNLABELLED = flags.DEFINE_bool(
  "unlabelled",
  False,
  "The split has images and no masks, as a benchmark's test split: masks are "
  "written to --predictions, and nothing is scored.",
)
_BATCH_SIZE = flags.DEFINE_integer(
  "batch_size",
  None,
  "Images a step, in place of config.evaluation.batch_size; it changes no "
  "score. Of converted weights 64 a device, when left out.",
)
_CLASS_MAP = flags.DEFINE_string(
  "class_map",
  None,
  "Text file that says which class of the weights each of the data's is, where "
  "their names differ: a line DATA'S-CLASS,WEIGHTS'-CLASS (or a tab between).",
)
_TRUST = flags.DEFINE_bool(
  "trust_class_order",
  False,
  "Class i of the data is class i of the weights, whatever their names.",
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
_PREDICTIONS = flags.DEFINE_string(
  "predictions",
  None,
  "CSV file to write each image's path, label and five likeliest classes to; "
  "of a segmenter a folder, new or empty, for a PNG of each image's mask.",
)
_CONFUSION = flags.DEFINE_string(
  "confusion_matrix",
  None,
  "NAME.csv or NAME.npy to write how often each class was taken for each; of a "
  "segmenter, pixels.",
)
process_flags.define()


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
      unlabelled=_UNLABELLED.value,
      batch_size=_BATCH_SIZE.value,
      class_map=_CLASS_MAP.value,
      trust_class_order=_TRUST.value,
      suite=_SUITE.value,
      suite_directory=_SUITE_DIRECTORY.value,
      overridden=_overridden(),
      output=_OUTPUT.value,
      predictions=_PREDICTIONS.value,
      confusion_matrix=_CONFUSION.value,
      distributed=process_flags.value(),
    )
  )


if __name__ == "__main__":
  app.run(main, flags_parser=command.parse_flags)
