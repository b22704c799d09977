"""The data's classes in terms of a model's."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from absl import logging

from van_jax import data, errors
from van_jax.data.sources.renumbered import RenumberedSplit
from van_jax.evaluation import class_map as class_map_lib
from van_jax.interop.facts import imagenet


def in_terms_of(
  labels: Sequence[str] | None,
  num_classes: int,
  source: data.Source,
  *,
  class_map: str | None = None,
  trust_order: bool = False,
) -> data.Source:
  """Returns a source whose labels count in a model's classes.

  They are told by their names, or ImageNet's by their WordNet ids. Where
  either side has no names, their numbers must be equal.

  Args:
    labels: [K], the model's class names; None where they are not known.
    num_classes: K.
    source: opened for evaluation alone.
    class_map: a file that says which is which; see `class_map.read`.
    trust_order: class i of the one is class i of the other.

  Raises:
    UserError: where a class of the data is none of the model's.
  """
  if class_map and trust_order:
    raise errors.UserError(
      f"class_map={class_map} and trust_class_order both say which class is "
      "which; leave one of the two out."
    )
  if not num_classes:
    raise errors.UserError(
      "model.num_classes=0: these weights give features, not classes; there is "
      "nothing to score. Fine-tune them, or name weights of a classifier."
    )
  given = class_map_lib.read(class_map) if class_map else None
  names = source.class_names
  if given is None and (trust_order or not labels or not names):
    _check_counts(num_classes, source, "" if labels else _NAMELESS)
    return source
  ours = tuple(labels or map(str, range(num_classes)))
  others = ()
  if imagenet.are_classes(ours):
    others = (imagenet.wordnet_ids(), imagenet.labels())
  remedy = {}
  if source.has_masks:
    remedy["remedy"] = _remedy_of_masks(num_classes, source)
  numbers = class_map_lib.match(
    names, ours, other_names=others, given=given, **remedy
  )
  _report(numbers, ours, names)
  return _renumbered(source, numbers, ours)


_NAMELESS = (
  " They keep no class names, by which some of the classes could be told; the "
  "file says their numbers."
)


def report_absent(source: data.Source) -> None:
  """Warns of training classes that the evaluation split has not."""
  if isinstance(split := source.evaluation, RenumberedSplit):
    _report(split.numbers, source.class_names, split.split.class_names)


def _remedy_of_masks(num_classes: int, source: data.Source) -> str:
  """Returns what to do where classes differ, as masks are not renumbered."""
  if source.num_classes > num_classes:
    return "take weights that have all classes of the masks"
  return (
    f"list all {num_classes} in the weights' order, of which masks may lack "
    "some, by data.options.class_names"
  )


def _check_counts(num_classes: int, source: data.Source, hint: str) -> None:
  if source.num_classes != num_classes:
    assert source.evaluation is not None
    if source.has_masks:
      raise errors.UserError(
        f"these weights have {num_classes} classes and "
        f"{source.evaluation.title} has {source.num_classes}, and the numbers "
        "of masks stay what they are: "
        f"{_remedy_of_masks(num_classes, source)}."
      )
    raise errors.UserError(
      f"these weights have {num_classes} classes and "
      f"{source.evaluation.title} has {source.num_classes}, so that their "
      "order cannot be the same; say which class is which by "
      f"--class_map=FILE.{hint}"
    )


def _renumbered(
  source: data.Source, numbers: np.ndarray, ours: tuple[str, ...]
) -> data.Source:
  if np.array_equal(numbers, np.arange(len(ours))):
    return source
  assert source.evaluation is not None
  if source.has_masks:
    if np.array_equal(numbers, np.arange(len(numbers))):  # The first of ours.
      _check_counts(len(ours), source, "")
    raise errors.UserError(
      f"{source.evaluation.title} has other classes than these weights, or "
      "another order of them, and the numbers of masks stay what they are; "
      "renumber the masks, or, where class i is class i under another name, "
      "say so by --trust_class_order."
    )
  split = RenumberedSplit(
    split=source.evaluation, numbers=numbers, class_names=ours
  )
  return dataclasses.replace(source, class_names=ours, evaluation=split)


def _report(
  numbers: np.ndarray, ours: Sequence[str], theirs: Sequence[str]
) -> None:
  """Says what was mapped, and which of the classes are absent."""
  if not np.array_equal(numbers, np.arange(len(numbers))):
    i = int(np.flatnonzero(numbers != np.arange(len(numbers)))[0])
    logging.info(
      "Classes are mapped by name: %r of the data is class %d, %r.",
      theirs[i],
      numbers[i],
      ours[numbers[i]],
    )
  if absent := sorted(set(range(len(ours))) - set(numbers.tolist())):
    listed = ", ".join(ours[i] for i in absent[:5])
    logging.warning(
      "The data has %d of the model's %d classes; absent: %s%s. Answers are "
      "chosen among all %d, and scores are of those that are there.",
      len(ours) - len(absent),
      len(ours),
      listed,
      ", ..." if len(absent) > 5 else "",
      len(ours),
    )
