"""Scoring weights on one split of a data set."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from absl import logging

from van_jax import data, errors, parallel, tasks
from van_jax.bundle import Bundle
from van_jax.evaluation import evaluator, speed
from van_jax.experiment import (
  agreement,
  beside_sums,
  class_answers,
  classes,
  mask_answers,
  misfits,
  out_of_memory,
  parts,
  recipe_task,
  score_files,
  scoring,
  sections,
)
from van_jax.experiment.sections import Config
from van_jax.parallel import processes

Scores = dict[str, Any]


def evaluate(
  config: Config,
  files: score_files.ScoreFiles,
  *,
  checkpoint: str,
  step: str,
  fold_batch_norm: bool,
  overridden: Mapping[str, Any],
  class_map: str | None,
  trust_class_order: bool,
  distributed: processes.Group | None,
) -> Scores:
  """Scores a bundle, or a checkpoint of a workdir, on a config's split.

  Args:
    config: checked and unlocked; the data, the batch size, and how the model
      is run.
    files: that are written.
    checkpoint: a bundle's folder, or a training workdir.
    step: of a workdir: "latest", "best", or a number.
    fold_batch_norm: leave its passes out; see `models.fold_batch_norm`.
    overridden: dotted config keys that the user set by hand.
    class_map: as of `evaluation.evaluate`.
    trust_class_order: as of `evaluation.evaluate`.
    distributed: what is known of the other processes, which all call this;
      None where there are none.

  Returns:
    The task's scores that are single numbers, and "classes" where the data has
    not all of them.

  Raises:
    UserError: bad input.
    CheckpointError: a checkpoint that is missing or damaged.
  """
  source = _open(config)
  misfits.check_kind(config, source)
  _check_asked(source, files)
  files.check_predictions(has_masks=source.has_masks)
  bundle, mesh = scoring.start(
    config,
    checkpoint=checkpoint,
    step=step,
    fold_batch_norm=fold_batch_norm,
    overridden=overridden,
    trust_class_order=trust_class_order,
    distributed=distributed,
    class_map=class_map,
    # They are part of the program that all processes run.
    answers_to_a_file=files.of_answers,
    predictions_to_files=bool(files.predictions),
    **agreement.of_source(source),
  )
  shown = scoring.overridden_preprocessing(bundle.preprocessing, overridden)
  bundle = dataclasses.replace(bundle, preprocessing=shown)
  task = recipe_task.create_task(config, shown)
  if task.classes is not None:
    source = classes.in_terms_of(
      bundle.labels,
      task.classes,
      source,
      class_map=class_map,
      trust_order=trust_class_order,
    )
  return _score(config, bundle, mesh, task, source, files)


def _open(config: Config) -> data.Source:
  """Opens the data; what is wrong with it is said with the flags for it."""
  try:
    return sections.build(config, "data", train_split=None)
  except errors.UserError as error:
    raise errors.UserError(
      f"{error} Of data.name={config.data.name!r}, which --data_name, "
      "--data_directory and --split change."
    ) from error


def _check_asked(source: data.Source, files: score_files.ScoreFiles) -> None:
  """Raises UserError unless what is asked for can be had of the split."""
  assert source.evaluation is not None
  if source.evaluation.has_labels:
    return
  if not files.predictions or files.confusion_matrix:
    raise errors.UserError(
      f"{source.evaluation.title} has no labels (--unlabelled, data.options."
      "unlabelled), so that there is nothing to score: pass "
      "--predictions=FOLDER, and no --confusion_matrix."
    )


def _score(
  config: Config,
  bundle: Bundle,
  mesh: jax.sharding.Mesh,
  task: tasks.Task,
  source: data.Source,
  files: score_files.ScoreFiles,
) -> Scores:
  """Scores weights on data in their classes, and writes what is asked for.

  Args:
    config: says the batch.
    bundle: the weights, on the mesh.
    mesh: of the devices.
    task: of the weights.
    source: the data.
    files: that are written.
  """
  batches = parts.eval_batches(config, source, bundle.preprocessing)
  agreement.check_batches(batches)
  stopwatch = speed.Stopwatch()
  beside = _beside(files, task, batches, source, bundle)
  step = parts.eval_step(
    config, bundle.model, dataclasses.replace(task, sums=beside.sums), mesh
  )
  with out_of_memory.in_evaluation(config):
    totals = evaluator.evaluate(
      beside.watch(step),
      bundle.variables,
      stopwatch.watch(parallel.prefetch(beside.batches, mesh)),
      dict,
    )
  rate = stopwatch.images_per_second(_later(config, batches, source))
  beside.finish(totals)  # Even where nothing has a class to score.
  assert source.evaluation is not None
  scores = (
    task.scores(totals)
    if source.evaluation.has_labels
    else {"count": source.num_eval}
  )
  if rate:
    logging.info("%.1f images a second, after the first batch.", rate)
  if jax.process_index() == 0:
    files.write_scores(scores, source, rate)
  told = {"classes": scores["classes"]} if "classes" in scores else {}
  return evaluator.single_numbers(scores) | told


def _beside(
  files: score_files.ScoreFiles,
  task: tasks.Task,
  batches: data.EvalBatches | data.DenseEvalBatches,
  source: data.Source,
  bundle: Bundle,
) -> beside_sums.BesideSums:
  """Returns what is done with the answers, image by image."""
  if not files.of_answers:
    return beside_sums.nothing(task.sums, batches)
  if isinstance(batches, data.DenseEvalBatches):
    return mask_answers.taken(files, task, batches, source, bundle.labels)
  return class_answers.taken(files, task, batches, source, bundle.labels)


def _later(
  config: Config,
  batches: data.EvalBatches | data.DenseEvalBatches,
  source: data.Source,
) -> int:
  """Returns how many images come after the first batch; 0 for no speed."""
  dense = isinstance(batches, data.DenseEvalBatches)
  if dense and len(set(batches.shapes)) > 1:
    return 0  # Later batches wait to be compiled for, too.
  return source.num_eval - config.evaluation.batch_size
