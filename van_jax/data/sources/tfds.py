"""A prepared TFDS data set, read from its files without its own code."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent import futures
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.data import arguments
from van_jax.data.sources import record_pieces, tfds_folders
from van_jax.data.sources.memory_split import MemorySplit
from van_jax.data.sources.record_split import RecordSplit
from van_jax.data.sources.split import Split
from van_jax.data.tensorflow import tf, tfds

MAX_BYTES_IN_MEMORY = 2**29  # Of one split, encoded; CIFAR-10 takes 2**27.
_REQUESTS = 32  # At a time: of a thousand remote files each takes its while.
Parse = Callable[[Any], dict[str, Any]]


def opener(
  directory: str, *, name: str, shuffle_megabytes: int = 512
) -> Callable[[str], Split]:
  """Returns the function that opens a split of a TFDS data set by name.

  Args:
    directory: TFDS' `data_dir`.
    name: of the data set.
    shuffle_megabytes: what the shuffle of a training split that is too large to
      hold in memory may hold, 10^6 bytes each, over all processes; see
      `record_split.py`.

  Raises:
    UserError: it is not prepared, or no data set of images with a label.
  """
  arguments.check_whole("data.options.shuffle_megabytes", shuffle_megabytes, 1)
  builder = tfds_folders.prepared_builder(name, directory)
  features = dict(builder.info.features.items())
  if not isinstance(features.get("image"), tfds.features.Image) or not (
    isinstance(features.get("label"), tfds.features.ClassLabel)
  ):
    raise errors.UserError(
      f"name={name!r} has the features {sorted(features)}; an image data set "
      f"for classification has an Image 'image' and a ClassLabel 'label'."
    )
  return lambda split: open_split(
    builder,
    name,
    split,
    parse=parser(builder),
    class_names=tuple(features["label"].names),
    shuffle_megabytes=shuffle_megabytes,
  )


def open_split(
  builder: Any,
  name: str,
  split: str,
  *,
  parse: Parse,
  class_names: tuple[str, ...],
  shuffle_megabytes: int,
) -> MemorySplit | RecordSplit:
  """Opens a split of a prepared data set: in memory, unless it is too large.

  Args:
    builder: of the data set.
    name: of the data set, as it was given.
    split: TFDS' name of it.
    parse: from a record, [] string, to an example's parts.
    class_names: of the labels.
    shuffle_megabytes: as of `opener`.

  Raises:
    UserError: there is no such split, or its files are damaged.
  """
  try:
    info = builder.info.splits[split]
  except (KeyError, ValueError, AssertionError) as error:
    raise errors.UserError(
      f"split {split!r} is not in {name!r}, which has "
      f"{', '.join(sorted(builder.info.splits))} and slices of them such as "
      f"'train[:90%]'."
    ) from error
  pieces = info.file_instructions
  if not pieces:
    raise errors.UserError(f"split {split!r} of {name!r} is empty.")
  files = sorted({piece.filename for piece in pieces})
  num_bytes = _check_files(files)
  whole = builder.info.splits.get(split)  # None for a slice of a split.
  if whole is not None and num_bytes < whole.num_bytes:
    raise errors.UserError(
      f"split {split!r} of {name!r} has {num_bytes} bytes and should have "
      f"{whole.num_bytes}: its files are cut off. {_again(files[0])}"
    )
  title = f"split {split!r} of {name!r} in {builder.data_path}"
  if num_bytes > MAX_BYTES_IN_MEMORY:
    sizes = {piece.filename: piece.examples_in_shard for piece in pieces}
    return RecordSplit(
      title=title,
      files=tuple(files),
      pieces=_pieces(pieces, files),
      parse=parse,
      class_names=class_names,
      record_bytes=num_bytes / sum(sizes.values()),
      shuffle_megabytes=shuffle_megabytes,
    )
  parts = _load(pieces, parse)
  return MemorySplit(title=title, parts=parts, class_names=class_names)


def parser(builder: Any) -> Callable[[Any], dict[str, Any]]:
  """Returns the function from a record to an example's parts."""
  # Two features, so that nothing else of the record is parsed.
  features = tfds.features.FeaturesDict(
    {key: builder.info.features[key] for key in ("image", "label")}
  )
  skip = {"image": tfds.decode.SkipDecoding()}

  def parse(record):
    example = features.deserialize_example(record, decoders=skip)
    label = tf.cast(example["label"], tf.int32)
    return {"image": example["image"], "label": label}

  return parse


def image_parser(builder: Any, keys: dict[str, str]) -> Parse:
  """Returns the function from a record to images, as they are encoded.

  Args:
    builder: of the data set.
    keys: the part's name: the feature, an image.
  """
  # Two features, so that nothing else of the record is parsed.
  features = tfds.features.FeaturesDict(
    {key: builder.info.features[key] for key in keys.values()}
  )
  skip = {key: tfds.decode.SkipDecoding() for key in keys.values()}

  def parse(record):
    example = features.deserialize_example(record, decoders=skip)
    return {part: example[key] for part, key in keys.items()}

  return parse


def _check_files(files: list[str]) -> int:
  """Returns the bytes of all files; raises UserError if one is missing."""
  with futures.ThreadPoolExecutor(_REQUESTS) as executor:
    return sum(executor.map(_num_bytes, files))


def _num_bytes(file: str) -> int:
  try:
    return tf.io.gfile.stat(file).length
  except tf.errors.OpError as error:
    raise errors.UserError(
      f"{file} cannot be opened: the data set is damaged. {_again(file)}"
    ) from error


def _pieces(instructions: Any, files: list[str]) -> record_pieces.Pieces:
  number = {file: i for i, file in enumerate(files)}
  take = np.array([piece.take for piece in instructions], np.int64)
  return record_pieces.Pieces(
    file=np.array([number[piece.filename] for piece in instructions], np.int64),
    skip=np.array([piece.skip for piece in instructions], np.int64),
    take=take,
    first=np.cumsum(take) - take,
  )


def _again(file: str) -> str:
  return f"Remove {os.path.dirname(file)} and prepare the data set again."


def _load(pieces: Any, parse: Any) -> dict[str, Any]:
  """Reads all examples, file by file, so that an error names the file."""
  batches = []
  for piece in pieces:
    dataset = record_pieces.read_piece(
      piece.filename, np.int64(piece.skip), np.int64(piece.take), np.int64(0)
    ).map(lambda _, record: parse(record))
    # A batch at a time; the last is empty if the file ends too early.
    found = 0
    try:
      for batch in dataset.batch(1024):
        batches.append(batch)
        found += len(batch["image"])
    except tf.errors.OpError as error:
      reason = f"cannot be read after {found} examples: {error.message}"
    else:
      reason = f"holds {found} examples and should hold {piece.take}"
    if found != piece.take:
      raise errors.UserError(
        f"{piece.filename} {reason}: the data set is damaged. "
        f"{_again(piece.filename)}"
      )
  return {k: tf.concat([b[k] for b in batches], 0) for k in batches[0]}
