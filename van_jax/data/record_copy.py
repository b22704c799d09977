"""A copy of any data set as record files, which TFDS and `tfds.py` open.

A file is written beside its place and renamed when it is whole, so that a
command that was stopped goes on with the files that are missing; what a killed
one left beside them is removed. The files that say what the data set is come
last: without them it is none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from van_jax import errors, storage
from van_jax.data import changed_examples
from van_jax.data.sources import listing
from van_jax.data.sources.split import Split
from van_jax.data.tensorflow import tf, tfds

VERSION = "1.0.0"
_SETTINGS = "resize.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordCopy:
  """A data set that is written below a folder.

  Attributes:
    name: of the copy, as TFDS names are.
    directory: TFDS' `data_dir`.
    settings: what it is made of, and how: a copy of others is not gone on with.
    examples_a_file: about so many.
  """

  name: str
  directory: str
  settings: Mapping[str, Any]
  examples_a_file: int = 5000  # 150 MB of images of 30 kB.

  @property
  def folder(self) -> str:
    """The folder of its files."""
    return os.path.join(listing.absolute(self.directory), self.name, VERSION)

  def begin(self) -> None:
    """Makes the folder, or finds what an earlier command left there.

    Raises:
      UserError: when a whole data set is there, or a part of another.
    """
    told = os.path.join(self.folder, _SETTINGS)
    self._remove_drafts(others=storage.is_remote(self.folder))
    if _is_json(os.path.join(self.folder, "dataset_info.json")):
      raise errors.UserError(
        f"{self.folder} holds a whole data set; name another folder or "
        "--output_name, or remove it."
      )
    text = json.dumps(dict(self.settings), indent=2, sort_keys=True)
    if tf.io.gfile.exists(told):
      if tf.io.gfile.GFile(told).read() != text:
        raise errors.UserError(
          f"{self.folder} holds a part of a copy that was made otherwise, as "
          f"{told} says; remove the folder, or name another."
        )
    elif tf.io.gfile.exists(self.folder) and tf.io.gfile.listdir(self.folder):
      raise errors.UserError(
        f"{self.folder} holds other files; name another folder."
      )
    else:
      tf.io.gfile.makedirs(self.folder)
      with (
        _written_beside(told) as draft,
        tf.io.gfile.GFile(draft, "w") as file,
      ):
        file.write(text)

  def write(
    self,
    title: str,
    split: Split,
    change: changed_examples.Change,
    *,
    skip: bool = False,
  ) -> Any:
    """Writes the files of a split that are missing; returns its SplitInfo.

    Args:
      title: the split's name in the copy.
      split: that is read, in its own order.
      change: of each image.
      skip: whether damaged examples are left out, and logged; else they are
        errors.

    Raises:
      UserError: naming the example that cannot be read, or the file that
        cannot be written.
    """
    count = -(-split.size // self.examples_a_file)
    bounds = [i * split.size // count for i in range(count + 1)]
    damaged: set[int] | None = set() if skip else None
    begun, here, lengths = time.perf_counter(), 0, []
    for number in range(count):
      path = self._path(title, number, count)
      if tf.io.gfile.exists(path):
        lengths.append(_length(path))
        continue
      start, stop = bounds[number], bounds[number + 1]
      examples = changed_examples.read(split, start, stop, change, damaged)
      lengths.append(_write_file(path, split, examples))
      here += stop - start
      speed = here / (time.perf_counter() - begun)
      print(
        f"{title}: file {number + 1:,} of {count:,}, {stop:,} of "
        f"{split.size:,} images, {speed:,.0f} images/s",
        file=sys.stderr,
      )
    paths = [self._path(title, number, count) for number in range(count)]
    return tfds.core.SplitInfo(
      name=title,
      shard_lengths=lengths,
      num_bytes=sum(tf.io.gfile.stat(path).length for path in paths),
    )

  def end(self, splits: list[Any], class_names: tuple[str, ...]) -> None:
    """Says what the data set is, which makes it one.

    Args:
      splits: SplitInfos of all that was written.
      class_names: in the order of the labels.
    """
    tfds.folder_dataset.write_metadata(
      data_dir=self.folder,
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(None, None, 3)),
          "label": tfds.features.ClassLabel(names=list(class_names)),
          "origin": tfds.features.Text(),
        }
      ),
      split_infos=splits,
      version=VERSION,
      check_data=False,
      description=json.dumps(dict(self.settings), sort_keys=True),
    )
    self._remove_drafts(others=True)

  def _remove_drafts(self, *, others: bool) -> None:
    """Removes what killed commands left; `others`: of any other one too."""
    if not others:
      storage.remove_leftovers(storage.absolute(self.folder))
    elif tf.io.gfile.exists(self.folder):
      for name in filter(storage.is_draft, tf.io.gfile.listdir(self.folder)):
        tf.io.gfile.remove(os.path.join(self.folder, name))

  def _path(self, title: str, number: int, count: int) -> str:
    file = f"{self.name}-{title}.tfrecord-{number:05d}-of-{count:05d}"
    return os.path.join(self.folder, file)


@contextlib.contextmanager
def _written_beside(path: str) -> Iterator[str]:
  """Yields where to write a file, which is renamed to `path` when it is whole.

  As `storage.replacing`, on all file systems that TensorFlow knows.
  """
  folder, name = os.path.split(path)
  draft = os.path.join(folder, storage.draft_name(name))
  try:
    yield draft
    tf.io.gfile.rename(draft, path, overwrite=True)
  finally:
    if tf.io.gfile.exists(draft):
      tf.io.gfile.remove(draft)


def _is_json(path: str) -> bool:
  """Returns whether a file is there, and was written to its end."""
  try:
    json.loads(tf.io.gfile.GFile(path).read())
  except (tf.errors.NotFoundError, ValueError):
    return False
  return True


def _length(path: str) -> int:
  """Returns the examples of a file that an earlier command wrote.

  They are counted, as that one may have left damaged ones out.
  """
  try:
    records = tf.data.TFRecordDataset(path)
    return int(records.reduce(np.int64(0), lambda number, _: number + 1))
  except tf.errors.OpError as error:
    raise errors.UserError(
      f"{path} cannot be read: {error.message.splitlines()[0]}; remove it, and "
      "the same command writes it again."
    ) from error


def _write_file(
  path: str, split: Split, examples: Iterator[tuple[bytes, int, int]]
) -> int:
  """Writes (image, label, index) of each example; returns how many it had."""
  written = 0
  try:
    with (
      _written_beside(path) as draft,
      tf.io.TFRecordWriter(draft) as writer,
    ):
      for image, label, index in examples:
        writer.write(_record(image, label, split.describe(index)))
        written += 1
      if not written:  # Training stops at such a batch, too.
        raise errors.UserError(
          f"none of the images for {path} can be read; on_damaged='skip' needs "
          "one that can. Look at the data set."
        )
  except tf.errors.OpError as error:
    raise errors.UserError(
      f"{path} could not be written: {error.message.splitlines()[0]}; mend "
      "that, and the same command goes on from there."
    ) from error
  return written


def _record(image: bytes, label: int, origin: str) -> bytes:
  """Returns an example as TFDS serialises one of these features."""

  def text(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

  whole = tf.train.Int64List(value=[int(label)])
  feature = {
    "image": text(image),
    "label": tf.train.Feature(int64_list=whole),
    "origin": text(os.fsencode(origin)),
  }
  features = tf.train.Features(feature=feature)
  return tf.train.Example(features=features).SerializeToString()
