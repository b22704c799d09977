"""Scoring weights, from a bundle or from a training workdir."""

from collections.abc import Mapping
from typing import Any

import jax

from van_jax import errors, parallel
from van_jax.evaluation import evaluator
from van_jax.experiment import (
  config_check,
  misfits,
  out_of_memory,
  parts,
  recipe_task,
  scoring,
  sections,
  weights,
)
from van_jax.experiment.imagenet import score_suites
from van_jax.experiment.sections import Config

Scores = dict[str, Any]


def evaluate(
  config: Config,
  *,
  checkpoint: str,
  step: str = "latest",
  fold_batch_norm: bool = False,
  suite: str | None = None,
  suite_directory: str | None = None,
  overridden: Mapping[str, Any] | None = None,
  output: str | None = None,
  distributed: bool = False,
) -> Scores:
  """Scores a bundle, or a checkpoint of a workdir, on the evaluation split.

  Images are prepared as the weights were trained for, whatever
  `config.preprocessing` says, but for what `overridden` names.

  Args:
    config: the data, the batch size, and how the model is run.
    checkpoint: a bundle's folder, or a training workdir.
    step: of a workdir: "latest", "best", or a number.
    fold_batch_norm: leave its passes out; see `models.fold_batch_norm`.
    suite: test sets to score on instead, "val,a,c"; see
      `score_suites.evaluate`, which returns other scores.
    suite_directory: holds the suites' folders.
    overridden: dotted config keys that the user set by hand.
    output: a JSON file for all scores, the accuracy of each class too.
    distributed: whether this is one of several processes that all call this.

  Returns:
    The task's scores that are single numbers: of classification top1, top5,
    loss, count and mean_per_class_accuracy.

  Raises:
    UserError: bad input.
    CheckpointError: a checkpoint that is missing or damaged.
  """
  config_check.check_config(config)
  weights.check_is_weights(checkpoint)
  if output:
    scoring.make_room(output)
  if suite is not None:
    return score_suites.evaluate(
      config,
      suite,
      suite_directory,
      checkpoint=checkpoint,
      step=step,
      fold_batch_norm=fold_batch_norm,
      overridden=overridden or {},
      output=output,
      distributed=distributed,
    )
  if suite_directory is not None:
    raise errors.UserError(
      f"suite_directory={suite_directory} says where suites lie, and no "
      "--suite is named."
    )
  source = sections.build(config, "data", train_split=None)
  misfits.check_classes(config, source, recipe_task.create_task(config))
  parts.start_devices(config, distributed=distributed)
  bundle = scoring.load(config, checkpoint, step, fold_batch_norm)
  preprocessing = scoring.overridden_preprocessing(
    bundle.preprocessing, overridden or {}
  )
  task = recipe_task.create_task(config, preprocessing)
  mesh = parallel.create_mesh()
  batches = parts.eval_batches(config, source, preprocessing)
  with out_of_memory.in_evaluation(config):
    scores = evaluator.evaluate(
      parts.eval_step(bundle.model, task, mesh),
      jax.device_put(bundle.variables, parallel.replicated(mesh)),
      parallel.prefetch(batches, mesh),
      task.scores,
    )
  if output and jax.process_index() == 0:
    scores = {**scores, "class_names": source.class_names}
    scoring.write(output, scores)
  return parts.summary(scores)
