"""Slices of a list of files, written as TFDS writes them: "train[:99%]"."""

from __future__ import annotations

import hashlib
import os
import re

import numpy as np

from van_jax import errors
from van_jax.data.sources import names

_SLICE = re.compile(r"(?P<name>[^\[\]]+)\[(?P<start>.*?):(?P<stop>.*?)\]")
_BOUND = re.compile(r"(-?\d+)(%?)")


def parse(split: str) -> tuple[str, tuple[str, str] | None]:
  """Splits "train[:99%]" into its name and its bounds, ("", "99%").

  Raises:
    UserError: the brackets hold no slice.
  """
  if "[" not in split and "]" not in split:
    return split, None
  found = _SLICE.fullmatch(split)
  bounds = (found["start"], found["stop"]) if found else ("?", "?")
  if not found or not all(not b or _BOUND.fullmatch(b) for b in bounds):
    raise errors.UserError(
      f"split={split!r} must be a name, or a slice of one such as "
      f"'train[:99%]', 'train[99%:]' or 'train[1000:2000]'."
    )
  return found["name"], bounds


def select(files: names.Names, bounds: tuple[str, str]) -> np.ndarray:
  """Returns which files are in a slice, [N] bool.

  Files are counted in the order of a hash of their names: a fixed order that
  mixes the classes, in which few files move when some are added. Slices that
  share a bound share no file and leave none out.

  Args:
    files: all of them.
    bounds: first and last, numbers of files or per cents of them, rounded to
      the nearest; negative ones count from the end, empty ones are the ends.
  """
  size = len(files)
  start, stop = _ends(bounds, size)
  keys = np.fromiter(map(_key, files), np.uint64, size)
  chosen = np.zeros(size, bool)
  chosen[np.argsort(keys, kind="stable")[start:stop]] = True
  return chosen


def length(bounds: tuple[str, str], size: int) -> int:
  """Returns how many of `size` examples are in a slice."""
  start, stop = _ends(bounds, size)
  return max(stop - start, 0)


def keep(files: names.Names, chosen: np.ndarray) -> names.Names:
  """Returns the chosen files, in their old order; keeps empty folders."""
  kept = (
    [name for name, yes in zip(some, chosen[a:b].tolist(), strict=True) if yes]
    for (_, some), a, b in zip(
      files.each(), files.first, files.first[1:], strict=False
    )
  )
  return names.pack(files.folders, kept)


def _ends(bounds: tuple[str, str], size: int) -> tuple[int, int]:
  start = _position(bounds[0], size) if bounds[0] else 0
  return start, _position(bounds[1], size) if bounds[1] else size


def _position(bound: str, size: int) -> int:
  found = _BOUND.fullmatch(bound)
  assert found  # By `parse`.
  number = int(found[1])
  if found[2]:
    number = round(number * size / 100)
  return min(max(number + size if bound.startswith("-") else number, 0), size)


def _key(name: str) -> int:
  digest = hashlib.blake2b(os.fsencode(name), digest_size=8).digest()
  return int.from_bytes(digest, "little")
