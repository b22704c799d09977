"""A copy of any data set as record files, which TFDS and `tfds.py` open.

A file is written beside its place and renamed when it is whole, so that a
command that was stopped goes on with the files that are missing. The files that
say what the data set is come last: without them it is none.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from van_jax import errors
from van_jax.data.pipeline import grouping, readable
from van_jax.data.sources import listing
from van_jax.data.sources.split import Split, fetch_parts
from van_jax.data.tensorflow import tf, tfds

VERSION = "1.0.0"
_SETTINGS = "resize.json"
_BATCH = 64  # Examples that are written together.

# From an encoded image to the one that is kept, [] strings in a graph.
Change = Callable[[Any], Any]


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
    if tf.io.gfile.exists(os.path.join(self.folder, "dataset_info.json")):
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
      with tf.io.gfile.GFile(told, "w") as file:
        file.write(text)

  def write(self, title: str, split: Split, change: Change) -> Any:
    """Writes the files of a split that are missing; returns its SplitInfo.

    Args:
      title: the split's name in the copy.
      split: that is read, in its own order.
      change: of each image.

    Raises:
      UserError: naming the example that cannot be read, or the file that
        cannot be written.
    """
    count = -(-split.size // self.examples_a_file)
    bounds = [i * split.size // count for i in range(count + 1)]
    begun, here = time.perf_counter(), 0
    for number in range(count):
      path = self._path(title, number, count)
      if tf.io.gfile.exists(path):
        continue
      start, stop = bounds[number], bounds[number + 1]
      _write_file(path, split, start, stop, change)
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
      shard_lengths=[b - a for a, b in itertools.pairwise(bounds)],
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

  def _path(self, title: str, number: int, count: int) -> str:
    file = f"{self.name}-{title}.tfrecord-{number:05d}-of-{count:05d}"
    return os.path.join(self.folder, file)


def _write_file(
  path: str, split: Split, start: int, stop: int, change: Change
) -> None:
  folder, name = os.path.split(path)
  draft = os.path.join(folder, f".{name}.{os.getpid()}.incomplete")
  try:
    with tf.io.TFRecordWriter(draft) as writer:
      for image, label, index in _examples(split, start, stop, change):
        writer.write(_record(image, label, split.describe(index)))
    tf.io.gfile.rename(draft, path, overwrite=True)
  except tf.errors.OpError as error:
    raise errors.UserError(
      f"{path} could not be written: {error.message.splitlines()[0]}; mend "
      "that, and the same command goes on from there."
    ) from error
  finally:
    if tf.io.gfile.exists(draft):
      tf.io.gfile.remove(draft)


def _examples(
  split: Split, start: int, stop: int, change: Change
) -> Iterator[tuple[bytes, int, int]]:
  """Yields (image, label, index) in order; images are made on all cores."""

  @tf.autograph.experimental.do_not_convert  # It hides a UserError in its own.
  def example(index, handle):
    image, parts = fetch_parts(split, handle)
    label = tf.cast(parts["label"], tf.int64)
    return {"image": change(image), "label": label, "index": index}

  dataset = split.sequence(start, stop).map(
    example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
  )
  for batch in readable.batches(
    grouping.ahead(dataset.batch(_BATCH)),
    lambda done: split.sequence(start + done * _BATCH, stop),
    split,
    _BATCH,
    remedy="replace it in the data set that is copied; without it that is "
    "another set, whose copy begins anew",
  ):
    columns = (batch["image"], batch["label"], batch["index"])
    yield from zip(*columns, strict=True)


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
