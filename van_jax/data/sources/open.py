"""What there is to read: the data sets by name, opened without reading them."""

from __future__ import annotations

import dataclasses

from van_jax.data import checks
from van_jax.data.sources import folder, tfds as records
from van_jax.data.sources.split import Split

ON_DAMAGED = ("raise", "skip")


@dataclasses.dataclass(frozen=True)
class Source:
  """An opened data set.

  Attributes:
    name: as given to `open_source`.
    class_names: [K], in the order of the labels.
    train: the training split, or None when it was not asked for.
    evaluation: the evaluation split, or None when it was not asked for.
    on_damaged: what a damaged training image does, "raise" or "skip".
  """

  name: str
  class_names: tuple[str, ...]
  train: Split | None
  evaluation: Split | None
  on_damaged: str = "raise"

  @property
  def num_train(self) -> int:
    """Number of training examples; 0 when opened for evaluation only."""
    return self.train.size if self.train else 0

  @property
  def num_eval(self) -> int:
    """Number of evaluation examples; 0 when opened for training only."""
    return self.evaluation.size if self.evaluation else 0

  @property
  def num_classes(self) -> int:
    """Number of classes, K."""
    return len(self.class_names)


def open_source(
  *,
  name: str,
  directory: str,
  train_split: str | None,
  eval_split: str | None,
  on_damaged: str = "raise",
  shuffle_megabytes: int = 512,
) -> Source:
  """Opens a data set; images are read later.

  Args:
    name: "digits" (prepared on first use), "folder", or the name of a
      prepared TFDS data set, with its version if one matters:
      "imagenet2012:5.*.*".
    directory: where TFDS data sets lie (`data_dir`), or the folder itself:
      directory/SPLIT/CLASS/NAME.jpg (.jpeg, .png).
    train_split: a TFDS split ("train", "train[:99%]") or a folder's name;
      None opens for evaluation only.
    eval_split: the same for evaluation; None opens for training only.
    on_damaged: "raise" makes a damaged training image an error that names it;
      "skip" shows another one of its batch instead, and logs it. In evaluation
      it is always an error.
    shuffle_megabytes: what the shuffle of a TFDS training split that is too
      large to hold in memory may hold, 10^6 bytes each, over all processes.

  Raises:
    ValueError: the data set, a split or a class is missing or damaged.
  """
  if train_split is None and eval_split is None:
    raise ValueError(
      "train_split=None and eval_split=None leave nothing to open; name one."
    )
  checks.check_choice(on_damaged, ON_DAMAGED, "on_damaged")
  checks.check_whole("shuffle_megabytes", shuffle_megabytes, 1)
  if not directory:
    raise ValueError(f"directory={directory!r} must name a folder.")
  open_split = (
    folder.opener(directory)
    if name == "folder"
    else records.opener(name, directory, shuffle_megabytes)
  )
  train = None if train_split is None else open_split(train_split)
  evaluation = None if eval_split is None else open_split(eval_split)
  if train and evaluation:
    _check_same_classes(train, evaluation)
  opened = [split for split in (train, evaluation) if split]
  return Source(name, opened[0].class_names, train, evaluation, on_damaged)


def _check_same_classes(train: Split, evaluation: Split) -> None:
  """Raises ValueError unless a label means the same in both splits."""
  if train.class_names == evaluation.class_names:
    return
  ours, theirs = set(train.class_names), set(evaluation.class_names)
  raise ValueError(
    f"{train.title} has {len(ours)} classes and {evaluation.title} has "
    f"{len(theirs)}; they must be the same. Only in training: "
    f"{_some(ours - theirs)}; only in evaluation: {_some(theirs - ours)}."
  )


def _some(names: set[str]) -> str:
  return ", ".join(sorted(names)[:5]) or "none"
