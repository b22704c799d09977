"""What a dry run must know of the data: sizes and shapes, but no image."""

import dataclasses

import numpy as np
from absl import logging

from van_jax import data, errors
from van_jax.data.sources import open as open_lib, slices
from van_jax.experiment import looks, section_table, sections
from van_jax.experiment.sections import Config

# Images of each split, by TFDS' catalog, for those who have not prepared them.
KNOWN = {
  "imagenet2012": {"train": 1_281_167, "validation": 50_000},
  "cifar10": {"train": 50_000, "test": 10_000},
  "cifar100": {"train": 50_000, "test": 10_000},
  "digits": {"train": 1_433, "test": 364},
}
_LABEL = {"label": ((), "int32")}
_THREE_FOUR = (768, 1024)  # Pixels.
Part = tuple[tuple[int, ...], str]
# Of images in several sizes there is a tuple.
Parts = dict[str, Part | tuple[Part, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
  """The data of a run.

  Attributes:
    num_train: training images; None where nobody knows.
    num_eval: images of the evaluation split; None where nobody knows.
    parts: what comes with each image, by name: its shape and dtype.
  """

  num_train: int | None
  num_eval: int | None
  parts: dict[str, Part] = dataclasses.field(
    default_factory=lambda: dict(_LABEL)
  )

  def training_batch(self, config: Config) -> Parts:
    """Returns the shapes and dtypes of a training batch, by name."""
    side = config.augmentation.image_size
    parts = {"image": ((side, side, 3), "uint8"), **self.parts}
    if section_table.has_masks(config):
      parts["label"] = ((side, side), "uint8")
    return {**_of(config.batch_size, parts)}

  def evaluation_batch(self, config: Config) -> Parts:
    """Returns the shapes and dtypes of an evaluation batch, by name.

    Whole images are taken to be as large as their scale, at 3:4, and their
    masks as large as they are. Of several ratios images are a tuple.
    """
    shown, parts = sections.build(config, "preprocessing"), dict(self.parts)
    size = config.evaluation.batch_size
    parts["mask"] = ((), "bool")
    if not section_table.has_masks(config):
      side = shown.image_size
      return {**_of(size, {**parts, "image": ((side, side, 3), "uint8")})}
    shape = shown.network_size(*_THREE_FOUR)
    parts |= {"label": (shape, "uint8"), "size": ((2,), "int32")}
    first, *more = [
      ((size, *shown.network_size(*_THREE_FOUR, ratio), 3), "uint8")
      for ratio in looks.ratios(config)
    ]
    return {**_of(size, parts), "image": (first, *more) if more else first}


def _of(size: int, parts: dict[str, Part]) -> dict[str, Part]:
  return {name: ((size, *shape), kind) for name, (shape, kind) in parts.items()}


def find(config: Config) -> Examples:
  """Returns what is known of a config's data, which need not be there.

  Raises:
    UserError: for a split that the data set does not have.
  """
  strange = open_lib.is_import_path(config.data.name)
  name = config.data.name.partition(":")[0]  # Without its version.
  if name in KNOWN and not strange:
    splits = (config.data.train_split, config.data.eval_split)
    return Examples(
      num_train=_size(name, splits[0]), num_eval=_size(name, splits[1])
    )
  try:
    source = sections.build(config, "data")
  except errors.UserError as error:
    logging.warning("%s The dry run does without.", error)
    return Examples(num_train=None, num_eval=None)
  parts = dict(_LABEL)
  if strange:
    parts = _parts(source.train)
  return Examples(
    num_train=source.num_train, num_eval=source.num_eval, parts=parts
  )


def _size(name: str, split: str) -> int:
  """Returns the images of a split, or of a slice of one, as TFDS rounds it."""
  whole, bounds = slices.parse(split)
  if whole not in KNOWN[name]:
    raise errors.UserError(
      f"split {split!r} is not in {name!r}, which has {', '.join(KNOWN[name])}."
    )
  size = KNOWN[name][whole]
  return size if bounds is None else slices.length(bounds, size)


def _parts(split: data.Split) -> dict[str, Part]:
  """Returns what a stranger's source hands out beside images."""
  dataset = split.sequence(0, 1).map(lambda _, handle: split.fetch(handle))
  parts: dict[str, Part] = {}
  for name, spec in dataset.element_spec.items():
    if name != "image":
      parts[name] = (tuple(spec.shape), np.dtype(spec.dtype.name).name)
  return parts
