"""Images and their masks in two folders: images/SPLIT and labels/SPLIT.

  images/train/a/1.jpg    labels/train/a/1.png

A mask is called as its image is, but for the ending. Listing looks at names
only. ADE20K is the same with other names: `masks="annotations"` and the splits
"training" and "validation"; Cityscapes with suffixes.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from absl import logging

from van_jax import errors, storage
from van_jax.data import arguments, class_colors as class_colors_lib
from van_jax.data.mask_numbering import VOID, MaskNumbering
from van_jax.data.sources import listing, names, pair_classes, slices
from van_jax.data.sources.split import IndexedSplit
from van_jax.data.tensorflow import tf

_UNLABELLED = "Of images without masks eval.py --unlabelled makes predictions."


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairSplit(IndexedSplit):
  """Pairs of files, any of which can be read at any time.

  Attributes:
    title: the folder of the images.
    roots: the folders that the names of images and of masks are below.
    images: [N], "SPLIT/NAME" or "SPLIT/.../NAME", sorted.
    masks: [N], likewise; None where nobody has them.
    mask_numbering: what the masks' numbers mean.
    class_names: [K].
    class_colors: [K], or ().
  """

  title: str
  roots: tuple[str, str]
  images: names.Names
  masks: names.Names | None
  mask_numbering: MaskNumbering
  class_names: tuple[str, ...]
  class_colors: class_colors_lib.Colors = ()

  @property
  def size(self) -> int:
    """Number of examples."""
    return len(self.images)

  @property
  def has_labels(self) -> bool:
    """Whether there are masks."""
    return self.masks is not None

  @functools.cached_property
  def _tensors(self) -> tuple[Any, Any]:
    with tf.init_scope():  # Out of any graph: it would hold a copy.
      masks = None if self.masks is None else self.masks.tensors()
      return self.images.tensors(), masks

  def fetch(self, handle: Any) -> dict[str, Any]:
    """Reads the two files of an index."""
    return self._read(handle, tf.io.read_file)

  def fetch_heads(self, handle: Any, size: int) -> dict[str, Any]:
    """Reads the first `size` bytes of each of them."""
    head = functools.partial(_head, size=size)

    def read(path):
      found = tf.numpy_function(head, [path], tf.string, stateful=False)
      return tf.ensure_shape(found, [])

    return self._read(handle, read)

  def _read(self, handle: Any, read: Callable[[Any], Any]) -> dict[str, Any]:
    image, mask = (
      read(tf.constant(os.fsencode(root)) + names.look_up(n, handle))
      if n is not None
      else None
      for root, n in zip(self.roots, self._tensors, strict=True)
    )
    return {"image": image, "label": tf.constant(b"") if mask is None else mask}

  def describe(self, index: int) -> str:
    """Returns the paths of an example's files."""
    image = f"{self.roots[0]}{self.images[index]}"
    if self.masks is None:
      return image
    return f"{image} (mask {self.roots[1]}{self.masks[index]})"

  def stem(self, index: int) -> str:
    """Returns an image's name below its split, without the ending."""
    inner = os.path.join(self.title, "")
    path = f"{self.roots[0]}{self.images[index]}".removeprefix(inner)
    return os.path.splitext(path)[0]


def _head(path: bytes, size: int) -> bytes:
  """Returns the first bytes of a file, local or remote."""
  if not storage.is_remote(os.fsdecode(path)):
    with open(path, "rb") as file:
      return file.read(size)
  with tf.io.gfile.GFile(os.fsdecode(path), "rb") as file:
    return file.read(size)


def opener(
  directory: str,
  *,
  images: str = "images",
  masks: str = "labels",
  image_suffix: str = "",
  mask_suffix: str = "",
  class_names: Sequence[str] = (),
  class_colors: Sequence[Sequence[int]] = (),
  num_classes: int | None = None,
  reduce_zero_label: bool = False,
  ignore_index: int = VOID,
  allow_void: bool = False,
  unlabelled: bool = False,
) -> Callable[[str], PairSplit]:
  """Returns the function that opens a split by name.

  Args:
    directory: local, or remote (gs://...).
    images: the folder in it that has the images, by split.
    masks: likewise, of the masks.
    image_suffix: what the names of images end with before the ending, and
      those of masks do not; images without it are left out.
    mask_suffix: the same of masks, "_gtFine_labelTrainIds" say.
    class_names: see `pair_classes.py`.
    class_colors: (r, g, b) of 0 to 255, one a class, for pictures of masks.
    num_classes: likewise.
    reduce_zero_label: see `MaskNumbering`.
    ignore_index: likewise.
    allow_void: likewise.
    unlabelled: whether there are no masks, as of a benchmark's test split:
      predictions can be made of it and nothing else.
  """
  arguments.check_bool(unlabelled, "data.options.unlabelled")
  classes = pair_classes.choose(
    class_names=class_names, num_classes=num_classes, directory=directory
  )
  colors = class_colors_lib.checked(class_colors, len(classes))
  numbering = MaskNumbering(
    num_classes=len(classes),
    reduce_zero_label=reduce_zero_label,
    ignore_index=ignore_index,
    allow_void=allow_void or unlabelled,
  )

  @functools.cache  # Two slices need one listing.
  def whole(name: str) -> PairSplit:
    given = (images,) if unlabelled else (images, masks)
    folders = [os.path.join(directory, folder, name) for folder in given]
    ends = (image_suffix, mask_suffix)[: len(given)]
    found = _files(_checked(folders, directory), ends)
    return PairSplit(
      title=folders[0],
      roots=(
        os.path.join(directory, images, ""),
        os.path.join(directory, masks, ""),
      ),
      images=names.pack([name], found[:1]),
      masks=None if unlabelled else names.pack([name], found[1:]),
      mask_numbering=numbering,
      class_names=classes,
      class_colors=colors,
    )

  def open_split(split: str) -> PairSplit:
    name, bounds = slices.parse(split)
    pairs = whole(name)
    return _sliced(pairs, split, bounds) if bounds else pairs

  return open_split


def _sliced(whole: PairSplit, split: str, bounds: tuple[str, str]) -> PairSplit:
  chosen = slices.select(whole.images, bounds)
  if not chosen.any():
    raise errors.UserError(f"split={split!r} of {whole.title} is empty.")
  return dataclasses.replace(
    whole,
    images=slices.keep(whole.images, chosen),
    masks=whole.masks and slices.keep(whole.masks, chosen),
  )


def _checked(folders: list[str], directory: str) -> list[str]:
  """Returns the folders of images and masks, or raises UserError."""
  for folder in folders:
    if not listing.is_folder(folder):
      there = listing.is_folder(directory)
      found = listing.folders(directory) if there else []
      holds = f"holds {', '.join(found[:8]) or 'none'}" if there else "is none"
      remedy = "" if folder == folders[0] else f" {_UNLABELLED}"
      raise errors.UserError(
        f"{folder} is no folder; pairs are directory/images/SPLIT/NAME.jpg and "
        "directory/labels/SPLIT/NAME.png, where data.options.images and masks "
        f"may name others, and {directory} {holds}.{remedy}"
      )
  return folders


def _files(folders: Sequence[str], suffixes: Sequence[str]) -> list[list[str]]:
  """Returns the names of images, and of their masks if that folder is given.

  Raises:
    UserError: when there are none, or an image has no mask.
  """
  images, *masks = (
    _by_stem(folder, suffix)
    for folder, suffix in zip(folders, suffixes, strict=True)
  )
  if not images:
    raise errors.UserError(f"{folders[0]} holds no image; fill it.")
  if not masks:
    return [list(images.values())]
  fitting = _fitting(images, masks[0], folders, suffixes)
  return [list(images.values()), fitting]


def _fitting(
  images: Mapping[str, str],
  masks: Mapping[str, str],
  folders: Sequence[str],
  suffixes: Sequence[str],
) -> list[str]:
  """Returns the mask of each image, or raises UserError."""
  alone = [stem for stem in images if stem not in masks]
  if alone:
    more = f" (and {len(alone) - 1} other images)" if len(alone) > 1 else ""
    raise errors.UserError(
      f"{folders[0]}/{images[alone[0]]}{more} has no mask in {folders[1]}, "
      f"which would be called {alone[0]}{suffixes[1]}.png; add it, move the "
      "image away, or say by data.options.mask_suffix how masks are called. "
      f"{_UNLABELLED}"
    )
  over = [masks[stem] for stem in masks if stem not in images]
  if over:
    logging.warning(
      "%s: %d masks have no image, and are left out: %s%s.",
      folders[1],
      len(over),
      ", ".join(over[:3]),
      ", ..." if len(over) > 3 else "",
    )
  return [masks[stem] for stem in images]


def _by_stem(folder: str, suffix: str) -> dict[str, str]:
  """Returns a folder's files by their names without suffix and ending."""
  found: dict[str, str] = {}
  for name, stem in _stems(listing.images(folder).names, suffix):
    if stem in found:
      raise errors.UserError(
        f"{folder} holds {found[stem]} and {name}, which are one name but for "
        "the ending; move one of them away."
      )
    found[stem] = name
  return found


def _stems(files: Iterable[str], suffix: str) -> Iterable[tuple[str, str]]:
  for name in files:
    stem = os.path.splitext(name)[0]
    if stem.endswith(suffix):
      yield name, stem[: len(stem) - len(suffix)]
