"""Scoring weights on the test sets that ImageNet-1k models are compared on."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from van_jax import data, errors, parallel
from van_jax.bundle import Bundle
from van_jax.data.images import normalization
from van_jax.evaluation import evaluator
from van_jax.evaluation.imagenet import corruption, restriction, suites
from van_jax.experiment import parts, scoring
from van_jax.experiment.imagenet import suite_data, suite_table
from van_jax.experiment.imagenet.suite_data import Part
from van_jax.experiment.sections import Config
from van_jax.interop.facts import imagenet
from van_jax.parallel import processes
from van_jax.tasks import accuracy

Scores = dict[str, Any]


def evaluate(
  config: Config,
  names: str,
  directory: str | None,
  *,
  checkpoint: str,
  step: str,
  fold_batch_norm: bool,
  overridden: Mapping[str, Any],
  output: str | None,
  trust_class_order: bool,
  distributed: processes.Group | None,
) -> dict[str, Scores]:
  """Scores a bundle, or a checkpoint of a workdir, on named test sets.

  Images are prepared as the weights were trained for, but for ImageNet-C's:
  those are stored ready for the network, and are only brought to its size if
  it is not theirs. What `overridden` names holds for all suites.

  Args:
    config: checked and unlocked; the batch size, how the model is run, and
      where "val" and "real" lie if not in `directory`.
    names: of `evaluation.imagenet.suites.SUITES`, with commas between them.
    directory: holds the suites' folders; None for `config.data.directory`.
    checkpoint: a bundle's folder, or a training workdir.
    step: of a workdir: "latest", "best", or a number.
    fold_batch_norm: leave its passes out; see `models.fold_batch_norm`.
    overridden: dotted config keys that the user set by hand.
    output: a JSON file for all scores, the accuracy of each class too.
    trust_class_order: the weights' classes are ImageNet's in its order,
      whatever their names.
    distributed: what is known of the other processes, which all call this;
      None where there are none.

  Returns:
    By suite: top1, top5, count, whether it was complete, and loss where that
    means something; of "c", mce and what it is made of.

  Raises:
    UserError: bad input.
    CheckpointError: a checkpoint that is missing or damaged.
  """
  _check_classes(config)
  opened = suite_data.open_suites(suites.parse_names(names), directory, config)
  bundle, mesh = scoring.start(
    config,
    checkpoint=checkpoint,
    step=step,
    fold_batch_norm=fold_batch_norm,
    overridden=overridden,
    trust_class_order=trust_class_order,
    distributed=distributed,
    suite=names,
    images={
      part.name: part.split.size for each in opened.values() for part in each
    },
  )
  if not trust_class_order:
    _check_labels(bundle.labels)
  run = _runner(config, bundle, mesh, overridden)
  full = {name: _scored(name, passes, run) for name, passes in opened.items()}
  if jax.process_index() == 0:
    logging.info("Scores:\n%s", suite_table.render(full))
    if output:
      scoring.write(output, full)
  return {name: _on_a_line(scores) for name, scores in full.items()}


def _check_classes(config: Config) -> None:
  if config.model.num_classes != suites.NUM_CLASSES:
    raise errors.UserError(
      f"model.num_classes={config.model.num_classes} must be "
      f"{suites.NUM_CLASSES}: the suites ask for ImageNet-1k's classes, in its "
      "order."
    )


def _check_labels(labels: Sequence[str] | None) -> None:
  """Raises UserError where classes have names that are not ImageNet's."""
  if labels and not imagenet.are_classes(labels):
    raise errors.UserError(
      f"the weights' classes ({', '.join(labels[:3])}, ...) are not "
      "ImageNet-1k's 1000 in its order, which the suites are of; pass "
      "--trust_class_order if they are, under other names."
    )


def _runner(
  config: Config,
  bundle: Bundle,
  mesh: jax.sharding.Mesh,
  overridden: Mapping[str, Any],
) -> Callable[[Part], Scores]:
  """Returns the function that scores the weights on one part.

  Args:
    config: as of `evaluate`.
    bundle: the weights, on the mesh.
    mesh: of the devices.
    overridden: as of `evaluate`.
  """
  # Both now: an override that cannot work is no error after hours.
  own = scoring.overridden_preprocessing(bundle.preprocessing, overridden)
  stored = as_stored(own, overridden)
  model: Any = bundle.model  # Type checkers think that it returns a pair.
  logits_step = evaluator.make_outputs_step(
    apply=model.apply,
    inputs=lambda batch: normalization.normalize(
      batch["image"], mean=own.mean, std=own.std
    ),
    mesh=mesh,
  )
  plain_sums = evaluator.make_sums_step(_sums(None), mesh)

  def run(part):
    sums_step = plain_sums
    if part.label_table is not None:
      sums_step = evaluator.make_sums_step(_any_label_sums, mesh)
    elif part.classes is not None:
      sums_step = evaluator.make_sums_step(_sums(part.classes), mesh)

    def eval_step(variables, batch):
      return sums_step(logits_step(variables, batch), batch)

    batches = _batches(config, part, stored if part.suite.cropped else own)
    return evaluator.evaluate(
      eval_step,
      bundle.variables,
      parallel.prefetch(batches, mesh),
      accuracy.scores,
    )

  return run


def as_stored(
  own: data.Preprocessing, overridden: Mapping[str, Any]
) -> data.Preprocessing:
  """Returns the preprocessing that leaves images of the network's size be.

  Args:
    own: for photographs, with what was overridden.
    overridden: dotted config keys that the user set by hand; how to resize, if
      it is among them, is left as it is.
  """
  changes = {"resize_mode": "short_side", "resize_size": own.image_size}
  for name in ("resize_mode", "resize_size"):
    if f"preprocessing.{name}" in overridden:
      del changes[name]
  if "preprocessing.crop_pct" in overridden:  # By timm's name.
    changes.pop("resize_size", None)
  return dataclasses.replace(own, **changes)


def _sums(classes: np.ndarray | None) -> Callable[..., dict[str, jax.Array]]:
  """Returns `(logits, batch) -> sums`, among some classes or all."""

  def sums(logits, batch):
    labels = batch["label"]
    if classes is not None:
      logits, labels = restriction.restrict(logits, labels, classes)
    return accuracy.batch_sums(logits, labels, batch["mask"], logits.shape[1])

  return sums


def _any_label_sums(
  logits: jax.Array, batch: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
  """Returns the sums of a batch whose images have lists of labels."""
  return accuracy.any_label_sums(logits, batch["label"], batch["mask"])


def _batches(
  config: Config, part: Part, preprocessing: data.Preprocessing
) -> Iterator[dict[str, np.ndarray]]:
  """Yields this process's batches, with label lists where there are such."""
  split = copy.copy(part.split)  # What it caches as it reads ends with it.
  source = data.Source(
    name=part.name, class_names=split.class_names, train=None, evaluation=split
  )
  for batch in parts.eval_batches(config, source, preprocessing):
    if part.label_table is not None:
      batch = {**batch, "label": part.label_table[batch["label"]]}
    yield batch


def _scored(
  name: str, passes: tuple[Part, ...], run: Callable[[Part], Scores]
) -> Scores:
  """Returns all scores of a suite."""
  scores = {}
  for part in passes:
    scores[part.name] = run(part)
    logging.info(
      "%s: top-1 %.2f %% of %d images",
      part.name,
      100 * scores[part.name]["top1"],
      scores[part.name]["count"],
    )
  complete = all(part.complete for part in passes)
  if name == "c":
    return _of_corruptions(scores) | {"complete": complete}
  (part,) = passes
  names = part.split.class_names
  if part.classes is not None:
    names = tuple(names[i] for i in part.classes)
  return {**scores[name], "complete": complete, "class_names": names}


def _of_corruptions(scores: Mapping[str, Scores]) -> Scores:
  """Returns mCE, and accuracies by corruption and severity.

  Args:
    scores: by "c/CORRUPTION/SEVERITY".
  """
  by_corruption = {}
  for name, of_part in scores.items():
    by_corruption.setdefault(name.split("/")[1], []).append(of_part)
  top1, top5 = (
    {n: [s[key] for s in of] for n, of in by_corruption.items()}
    for key in ("top1", "top5")
  )
  in_mce = [s for n in corruption.CORRUPTIONS for s in by_corruption[n]]
  return {
    "mce": corruption.mean_corruption_error(top1),
    "top1": sum(s["top1"] for s in in_mce) / len(in_mce),
    "top5": sum(s["top5"] for s in in_mce) / len(in_mce),
    "count": sum(s["count"] for s in in_mce),
    "corruption_errors": corruption.corruption_errors(top1),
    "top1_by_severity": top1,
    "top5_by_severity": top5,
  }


def _on_a_line(scores: Scores) -> Scores:
  """Leaves out what is by class, or by severity."""
  return {
    key: value
    for key, value in scores.items()
    if not isinstance(value, list | tuple) and not key.endswith("_by_severity")
  }
