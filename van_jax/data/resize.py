"""Prepares a copy of a data set with smaller images, for hosts that are short.

  python -m van_jax.data.resize NAME --directory=DIR --output=OUT \
    --short_side=320

NAME and DIR are what config.data.name and config.data.directory would be. The
copy is record files, for --config.data.name=NAME_320
--config.data.directory=OUT, with the same classes, labels and order. Training
images are resized, antialiased bicubic, and encoded as JPEG; those of
evaluation are copied byte for byte, so that scores stay comparable. A command
that was stopped or killed goes on where it was when it is given again.
"""

import argparse
import re
import sys
from typing import Any

from van_jax import data, errors, places
from van_jax.data import arguments, record_copy
from van_jax.data.images import shrinking
from van_jax.data.sources import open as open_lib

EXIT_CTRL_C = 130  # As shells say it.
_SPLIT_NAME = re.compile(r"[A-Za-z]\w*")
_COPY_NAME = re.compile(r"[a-z][a-z0-9_]*")


def resize(
  name: str,
  directory: str,
  *,
  output: str,
  short_side: int,
  output_name: str | None = None,
  train_split: str = "train",
  eval_split: str = "validation",
  quality: int = 95,
  exif_rotation: bool = False,
  on_damaged: str = "raise",
) -> str:
  """Writes the copy, or what is missing of it; returns its name.

  Args:
    name: as of `data.open_source`.
    directory: likewise.
    output: the copy's `data_dir`.
    short_side: pixels of a training image's shorter side, if it has more.
    output_name: of the copy; None for NAME_PIXELS.
    train_split: that is resized, a whole one.
    eval_split: that is copied as it is; "" for none.
    quality: of the JPEGs, 1 to 100.
    exif_rotation: whether images are turned as their EXIF data say.
    on_damaged: "raise" makes a damaged image an error that names it; "skip"
      leaves a damaged training image out, and logs it.

  Raises:
    UserError: bad input, naming it; an image that cannot be read.
  """
  arguments.check_whole("short_side", short_side, arguments.MIN_IMAGE_SIZE)
  arguments.check_whole("quality", quality, 1)
  if quality > 100:
    raise errors.UserError(f"quality={quality} must be from 1 to 100.")
  arguments.check_choice(on_damaged, open_lib.ON_DAMAGED, "on_damaged")
  splits = [split for split in (train_split, eval_split) if split]
  for split in splits:
    if not _SPLIT_NAME.fullmatch(split) or splits.count(split) > 1:
      raise errors.UserError(
        f"split {split!r} must be a whole split of a name of its own, such as "
        "train; slices of the copy are written in the config."
      )
  copy_name = output_name or _name(name, short_side)
  if not _COPY_NAME.fullmatch(copy_name):
    raise errors.UserError(
      f"output_name={copy_name!r} must be of small letters, digits and "
      "underscores, and begin with a letter."
    )
  places.check_writable(output, "--output", inside=True)
  source = data.open_source(
    name=name,
    directory=directory,
    train_split=train_split,
    eval_split=eval_split or None,
  )
  if not source.class_names:
    raise errors.UserError(
      f"name={name!r} has no classes; a copy is made of images with a label."
    )
  copy = record_copy.RecordCopy(
    name=copy_name,
    directory=output,
    settings={
      "name": name,
      "splits": {train_split: source.num_train, eval_split: source.num_eval},
      "class_names": list(source.class_names),
      "short_side": short_side,
      "quality": quality,
      "exif_rotation": exif_rotation,
    },
  )
  skip = on_damaged == "skip"
  _write(copy, source, train_split, eval_split, skip=skip)
  return copy_name


def _write(
  copy: record_copy.RecordCopy,
  source: data.Source,
  train_split: str,
  eval_split: str,
  *,
  skip: bool,
) -> None:
  how = {
    key: copy.settings[key]
    for key in ("short_side", "quality", "exif_rotation")
  }
  copy.begin()
  infos = []
  if source.train:

    def smaller(encoded):
      return shrinking.shrink(encoded, **how)

    infos.append(copy.write(train_split, source.train, smaller, skip=skip))
  if source.evaluation:
    infos.append(copy.write(eval_split, source.evaluation, _unchanged))
  copy.end(infos, source.class_names)


def _unchanged(encoded: Any) -> Any:
  return encoded


def _name(name: str, short_side: int) -> str:
  words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
  return f"{words}_{short_side}"


def main(given: list[str] | None = None) -> None:
  """Prepares the copy that the command line describes."""
  parser = argparse.ArgumentParser(
    prog="python -m van_jax.data.resize",
    description="Prepares a copy of a data set with smaller images.",
  )
  parser.add_argument("name", help="as config.data.name: folder, or TFDS'")
  parser.add_argument(
    "--directory", required=True, help="as config.data.directory"
  )
  parser.add_argument(
    "--output",
    required=True,
    help="folder to write it below, the copy's config.data.directory",
  )
  parser.add_argument(
    "--short_side",
    required=True,
    type=int,
    help="pixels of the shorter side of training images that have more",
  )
  parser.add_argument("--output_name", help="its config.data.name; NAME_PIXELS")
  parser.add_argument("--train_split", default="train", help="is resized")
  parser.add_argument(
    "--eval_split", default="validation", help="is copied as it is; '': none"
  )
  parser.add_argument("--quality", type=int, default=95, help="of the JPEGs")
  parser.add_argument(
    "--exif_rotation", action="store_true", help="turn images by EXIF data"
  )
  parser.add_argument(
    "--on_damaged",
    choices=open_lib.ON_DAMAGED,
    default="raise",
    help="skip leaves damaged training images out, and names them",
  )
  options = parser.parse_args(given)
  try:
    name = resize(**vars(options))
  except errors.UserError as error:
    parser.exit(1, f"error: {error}\n")
  except KeyboardInterrupt:
    parser.exit(EXIT_CTRL_C, "stopped; the same command goes on from there.\n")
  print(
    f"{name} is ready: --config.data.name={name} "
    f"--config.data.directory={options.output}",
    file=sys.stderr,
  )


if __name__ == "__main__":
  main()
