"""Scoring weights, from a bundle or from a training workdir."""

from collections.abc import Mapping
from typing import Any

from van_jax import errors, released
from van_jax.experiment import (
  config_check,
  own_config,
  score_files,
  score_split,
  weights,
)
from van_jax.experiment.imagenet import score_suites
from van_jax.experiment.sections import Config
from van_jax.parallel import processes
from van_jax.training.run import peers

Scores = dict[str, Any]


def evaluate(
  config: Config | None = None,
  *,
  checkpoint: str,
  step: str = "latest",
  fold_batch_norm: bool = False,
  data_name: str | None = None,
  data_directory: str | None = None,
  split: str | None = None,
  unlabelled: bool = False,
  batch_size: int | None = None,
  class_map: str | None = None,
  trust_class_order: bool = False,
  suite: str | None = None,
  suite_directory: str | None = None,
  overridden: Mapping[str, Any] | None = None,
  output: str | None = None,
  predictions: str | None = None,
  confusion_matrix: str | None = None,
  distributed: processes.Group | None = None,
) -> Scores:
  """Scores a bundle, or a checkpoint of a workdir, on the evaluation split.

  Images are prepared as the weights were trained for, whatever
  `config.preprocessing` says, but for what `overridden` names.

  Args:
    config: the data, the batch size, and how the model is run; None for what
      the weights' own run had.
    checkpoint: a bundle's folder, a training workdir, or the name or address
      of released weights.
    step: of a workdir: "latest", "best", or a number.
    fold_batch_norm: leave its passes out; see `models.fold_batch_norm`.
    data_name: in place of config.data.name; "folder", if nothing says it.
    data_directory: in place of config.data.directory.
    split: in place of config.data.eval_split.
    unlabelled: the split has images and no masks: `predictions` are written,
      and nothing is scored.
    batch_size: in place of config.evaluation.batch_size.
    class_map: a file that says which of the weights' classes each of the data's
      is, where they have other names; see `evaluation.class_map`.
    trust_class_order: class i of the data is class i of the weights, whatever
      their names.
    suite: test sets to score on instead, "val,a,c"; see
      `score_suites.evaluate`, which returns other scores.
    suite_directory: holds the suites' folders.
    overridden: dotted config keys that the user set by hand.
    output: a JSON file for all scores, the accuracy of each class too.
    predictions: a CSV file for the likeliest classes of each image; of a
      segmenter a folder, new or empty, for a PNG of each image's mask.
    confusion_matrix: a CSV or NPY file, true classes by predicted ones, of
      images, or of a segmenter's pixels.
    distributed: what is known of the other processes, which all call this;
      None where there are none.

  Returns:
    The task's scores that are single numbers: of classification top1, top5,
    loss, count and mean_per_class_accuracy; and "classes", "200 of 1000", where
    the data has not all of them. The count alone where there are no labels.

  Raises:
    UserError: bad input.
    CheckpointError: a checkpoint that is missing or damaged.
  """
  files = score_files.ScoreFiles(
    output=output, predictions=predictions, confusion_matrix=confusion_matrix
  )
  files.check()
  checkpoint = released.local_bundle(checkpoint)
  weights.check_is_weights(checkpoint)
  given = {
    "name": data_name,
    "directory": data_directory,
    "eval_split": split,
  }
  config = _config(
    config, checkpoint, given, batch_size, suite_directory, unlabelled
  )
  common: dict[str, Any] = {
    "checkpoint": checkpoint,
    "step": step,
    "fold_batch_norm": fold_batch_norm,
    "overridden": dict(overridden or {}),
    "trust_class_order": trust_class_order,
    "distributed": distributed,
  }
  with peers.losses_named():
    if suite is not None:
      _check_suite_alone(files, class_map, unlabelled)
      return score_suites.evaluate(
        config, suite, suite_directory, output=output, **common
      )
    if suite_directory is not None:
      raise errors.UserError(
        f"suite_directory={suite_directory} says where suites lie, and no "
        "--suite is named."
      )
    return score_split.evaluate(config, files, class_map=class_map, **common)


def _config(
  config: Config | None,
  checkpoint: str,
  given: Mapping[str, str | None],
  batch_size: int | None,
  suite_directory: str | None,
  unlabelled: bool,
) -> Config:
  """Returns the config to score by, unlocked and with what flags say."""
  chosen: Config
  if config is None:
    chosen = own_config.read(checkpoint)
    if suite_directory and not chosen.data.directory:
      chosen.data.directory = suite_directory
  else:
    chosen = config.copy_and_resolve_references()
    chosen.unlock()
  own_config.set_data(chosen, given)
  if unlabelled:
    chosen.data.options["unlabelled"] = True
  if batch_size is not None:
    if batch_size < 1:  # 0 in a config stands for 64 a device.
      raise errors.UserError(f"batch_size={batch_size} must be above 0.")
    chosen.evaluation.batch_size = batch_size
  if config is None:  # Checked when its run began.
    own_config.check_imports(chosen)
  else:
    config_check.check_config(chosen)
  return chosen


def _check_suite_alone(
  files: score_files.ScoreFiles, class_map: str | None, unlabelled: bool
) -> None:
  """Raises UserError for what is of a split, and not of suites."""
  for flag, value in (
    ("predictions", files.predictions),
    ("confusion_matrix", files.confusion_matrix),
    ("class_map", class_map),
    ("unlabelled", unlabelled),
  ):
    if value:
      raise errors.UserError(
        f"{flag}={value} is for a split, and --suite scores others: leave one "
        "of the two out, or name a suite's folder by --data_directory."
      )
