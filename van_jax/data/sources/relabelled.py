"""Splits whose labels are numbers of a longer list of classes, or of images."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.data.sources import folder, record_pieces, tfds_folders
from van_jax.data.sources.memory_split import MemorySplit
from van_jax.data.sources.record_split import RecordSplit
from van_jax.data.sources.split import Split
from van_jax.data.tensorflow import tf, tfds

# What ILSVRC 2012 calls its validation images, from 00000001 to 00050000.
_NUMBERED = r"ILSVRC2012_val_(\d{8})\.\w+"


def list_classes(
  directory: str, name: str, class_names: Sequence[str]
) -> folder.FileSplit:
  """Lists directory/name/CLASS/*.jpg, labels counted in `class_names`.

  Args:
    directory: holds the folder.
    name: of the folder.
    class_names: all that a class folder may be called; its place here, and
      not among the folders, is the label.

  Raises:
    UserError: the folder is missing, has a class of another name or an empty
      one.
  """
  split = folder.list_split(directory, name)
  number = {class_name: i for i, class_name in enumerate(class_names)}
  strange = [n for n in split.class_names if n not in number]
  if strange:
    raise errors.UserError(
      f"{split.title} holds the folders {', '.join(strange[:5])}, and a class "
      f"folder must be called as one of {len(class_names)}, from "
      f"{class_names[0]} to {class_names[-1]}; move other folders away, or "
      "name the folder that holds the classes."
    )
  place = np.array([number[n] for n in split.class_names], np.int32)
  return dataclasses.replace(
    split, labels=place[split.labels], class_names=tuple(class_names)
  )


def number_files(split: folder.FileSplit) -> folder.FileSplit:
  """Labels ILSVRC 2012 validation images with their number less one.

  Raises:
    UserError: a file is called otherwise, or a number comes twice.
  """
  numbers = [_number(split, file) for file in split.files]
  values, counts = np.unique(numbers, return_counts=True)
  if (counts > 1).any():
    twice = values[counts > 1][0]
    where = [f for f, n in zip(split.files, numbers, strict=True) if n == twice]
    raise errors.UserError(
      f"{split.title} holds {' and '.join(where[:2])}, the same image; remove "
      "the one that is in the wrong place."
    )
  return dataclasses.replace(split, labels=np.array(numbers, np.int32) - 1)


def number_records(
  split: Split, *, name: str, directory: str, split_name: str
) -> Split:
  """Labels images of a TFDS data set as `number_files` does, by "file_name".

  Args:
    split: as `open_source` opens it.
    name: of the data set.
    directory: TFDS' `data_dir`.
    split_name: of the split.

  Raises:
    UserError: the data set has no feature "file_name".
  """
  builder = tfds_folders.prepared_builder(name, directory)
  if "file_name" not in builder.info.features:
    raise errors.UserError(
      f"name={name!r} has the features {sorted(builder.info.features)} and "
      "must have 'file_name', which says which image is which; imagenet2012 "
      "has it."
    )
  parse = _number_parser(builder)
  if isinstance(split, RecordSplit):
    return dataclasses.replace(split, parse=parse)
  assert isinstance(split, MemorySplit)
  numbers = []
  for piece in builder.info.splits[split_name].file_instructions:
    dataset = record_pieces.read_piece(
      piece.filename, np.int64(piece.skip), np.int64(piece.take), np.int64(0)
    ).map(lambda _, record: parse(record)["label"])
    numbers.extend(dataset.as_numpy_iterator())
  labels = tf.constant(numbers, tf.int32)
  return dataclasses.replace(split, parts={**split.parts, "label": labels})


def _number(split: folder.FileSplit, file: str) -> int:
  found = re.fullmatch(_NUMBERED, file.rsplit("/", 1)[-1])
  number = int(found[1]) if found else 0
  if not 1 <= number <= 50_000:
    raise errors.UserError(
      f"{split.title}/{file} must be called ILSVRC2012_val_NUMBER.JPEG, with "
      "the image's number from 00000001 to 00050000: labels are found by it. "
      "Restore the original names."
    )
  return number


def _number_parser(builder: Any) -> Callable[[Any], dict[str, Any]]:
  """Returns the function from a record to its image, and number less one."""
  features = tfds.features.FeaturesDict(
    {key: builder.info.features[key] for key in ("image", "file_name")}
  )
  skip = {"image": tfds.decode.SkipDecoding()}

  def parse(record):
    example = features.deserialize_example(record, decoders=skip)
    number = tf.strings.regex_replace(example["file_name"], _NUMBERED, r"\1")
    label = tf.strings.to_number(number, tf.int32) - 1
    return {"image": example["image"], "label": label}

  return parse
