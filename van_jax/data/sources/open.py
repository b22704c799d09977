"""What there is to read: the data sets by name, opened without reading them.

A source of one's own is an opener in any module: a function such as those of
SOURCES. Its import path is its name.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from typing import Any

from van_jax import errors, imports, signatures
from van_jax.data import arguments
from van_jax.data.class_colors import Colors
from van_jax.data.sources import (
  folder,
  listing,
  pairs,
  renumbered,
  tfds,
  tfds_folders,
  tfds_pairs,
)
from van_jax.data.sources.digits import digits
from van_jax.data.sources.split import Split

ON_DAMAGED = ("raise", "skip")

# From (directory, its own options as keywords) to the function that opens a
# split by name. All other names are those of TFDS data sets.
SOURCES = {
  "folder": folder.opener,
  "digits": digits.opener,
  "pairs": pairs.opener,  # Images and masks, as is the next.
  "tfds_pairs": tfds_pairs.opener,
}


@dataclasses.dataclass(frozen=True)
class Source:
  """An opened data set.

  Attributes:
    name: as given to `open_source`.
    class_names: [K], in the order of the labels; () where there are none.
    train: the training split, or None when it was not asked for.
    evaluation: the evaluation split, or None when it was not asked for.
    on_damaged: what a damaged training image does, "raise" or "skip".
    exif_rotation: whether training images are turned as their EXIF data say;
      those of evaluation have it from `Preprocessing`.
    class_colors: [K], (r, g, b), in pictures of masks; () where there are none.
  """

  name: str
  class_names: tuple[str, ...]
  train: Split | None
  evaluation: Split | None
  on_damaged: str = "raise"
  exif_rotation: bool = False
  class_colors: Colors = ()

  @property
  def has_masks(self) -> bool:
    """Whether labels are masks, a class a pixel."""
    opened = (self.train, self.evaluation)
    return any(split and split.mask_numbering for split in opened)

  def check_kind(self, dense: bool, given: str) -> None:
    """Raises UserError unless options suit the labels.

    Args:
      dense: whether they are for masks.
      given: their class.
    """
    if dense != self.has_masks:
      has, needed = (
        ("masks", f"Dense{given}")
        if self.has_masks
        else ("no masks", given.removeprefix("Dense"))
      )
      raise errors.UserError(
        f"data.name={self.name!r} has {has} and a {given} is given; give a "
        f"{needed}, or name other data."
      )

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
    """Number of classes, K; 0 where examples have no label."""
    return len(self.class_names)


def open_source(
  *,
  name: str,
  directory: str,
  train_split: str | None = "train",
  eval_split: str | None = "validation",
  on_damaged: str = "raise",
  exif_rotation: bool = False,
  options: Mapping[str, Any] = types.MappingProxyType({}),
) -> Source:
  """Opens a data set; images are read later.

  Args:
    name: a row of SOURCES ("digits", prepared on first use, "folder", or
      "pairs" and "tfds_pairs" of images and masks); the import path of an
      opener (MODULE:NAME); or the name of a prepared TFDS data set, with its
      version if one matters: "imagenet2012:5.*.*".
    directory: where TFDS data sets lie (`data_dir`), or the folder itself:
      directory/SPLIT/CLASS/NAME.jpg (.jpeg, .png); of pairs
      directory/images/SPLIT/NAME.jpg and directory/labels/SPLIT/NAME.png.
    train_split: a TFDS split ("train", "train[:99%]") or a folder's name;
      None opens for evaluation only.
    eval_split: the same for evaluation; None opens for training only. Beside
      a training split its labels count in that one's classes, by name: it may
      lack some of them.
    on_damaged: "raise" makes a damaged training image an error that names it;
      "skip" shows another one of its batch instead, and logs it. In evaluation
      it is always an error.
    exif_rotation: whether training images are turned as their EXIF data say;
      timm, torchvision and the published scores ignore it.
    options: the opener's own: `shuffle_megabytes` of TFDS data sets.

  Raises:
    UserError: the data set, a split or a class is missing or damaged; an
      option is not one of this kind of source.
  """
  if train_split is None and eval_split is None:
    raise errors.UserError(
      "train_split=None and eval_split=None leave nothing to open; name one."
    )
  arguments.check_choice(on_damaged, ON_DAMAGED, "on_damaged")
  arguments.check_bool(exif_rotation, "data.exif_rotation")
  if not directory:
    raise errors.UserError(f"directory={directory!r} must name a folder.")
  open_split = _open(name, listing.absolute(directory), dict(options))
  train = None if train_split is None else open_split(train_split)
  evaluation = None if eval_split is None else open_split(eval_split)
  if train and evaluation:
    evaluation = renumbered.in_terms_of(
      train.class_names, evaluation, train.title
    )
  opened = [split for split in (train, evaluation) if split]
  return Source(
    name=name,
    class_names=opened[0].class_names,
    train=train,
    evaluation=evaluation,
    on_damaged=on_damaged,
    exif_rotation=exif_rotation,
    class_colors=opened[0].class_colors,
  )


def _open(
  name: str, directory: str, own: dict[str, Any]
) -> Callable[[str], Split]:
  """Returns the function that opens a split of a source."""
  if name in SOURCES or is_import_path(name):
    opener = imports.choose(name, SOURCES, "data.name")
    signatures.check(opener, own, "data.options", given=("directory",))
    open_split = opener(directory, **own)
    signatures.check_callable(open_split, "data.name")
    return open_split
  given = ("directory", "name")
  signatures.check(tfds.opener, own, "data.options", given=given)
  try:
    return tfds.opener(directory, name=name, **own)
  except tfds_folders.NotPreparedError as error:
    raise errors.UserError(
      f"{error} Besides TFDS data sets, {imports.nearest(name, SOURCES)}, and "
      "import paths, MODULE:NAME."
    ) from error


def is_import_path(name: str) -> bool:
  """Returns whether what follows the colon is no version of TFDS, "5.*.*"."""
  return imports.is_path(name) and name.rpartition(":")[2].isidentifier()
