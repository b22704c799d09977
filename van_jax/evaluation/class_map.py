"""Which of a model's classes each class of a data set is: by their names."""

import collections
import os
from collections.abc import Mapping, Sequence

import numpy as np

from van_jax import errors, storage

_LISTED = 3  # Names that one error spells out.
_REMEDY = (
  "say which is which by --class_map=FILE, a line DATA'S-CLASS,MODEL'S-CLASS"
)


def match(
  theirs: Sequence[str],
  ours: Sequence[str],
  *,
  other_names: Sequence[Sequence[str]] = (),
  given: Mapping[str, str] | None = None,
  remedy: str = _REMEDY,
) -> np.ndarray:
  """Returns the number of the model's class for each of the data's, [S] int32.

  Names that are the plain numbers of all K classes, "0" to "K-1", stand for
  them, where the model has other names.

  Args:
    theirs: [S], the data's class names.
    ours: [K], the model's.
    other_names: more lists of K names for the same classes, such as WordNet
      ids.
    given: by a class name of the data's, a name or a number of the model's;
      classes that are not in it are looked up by their own name.
    remedy: what to do about a name that is none of the model's.

  Raises:
    UserError: for a class that is none of the model's.
  """
  numbers = {str(number): number for number in range(len(ours))}
  places: dict[str, int] = {}
  for names in (*reversed(other_names), ours):
    places |= _places(names)
  given = given or {}
  for name, target in given.items():
    if target not in places and target not in numbers:
      raise errors.UserError(
        f"class_map says that {name!r} is {target!r}, which is no class of the "
        f"weights ({_some(ours)}), nor one's number."
      )
  own = numbers | places if set(theirs) == numbers.keys() else places
  found = [
    (numbers | places)[given[name]] if name in given else own.get(name)
    for name in theirs
  ]
  strange = [n for n, i in zip(theirs, found, strict=True) if i is None]
  if strange:
    raise _mismatch(strange, theirs, ours, remedy)
  return np.array(found, np.int32)


def read(path: str | os.PathLike[str]) -> dict[str, str]:
  """Returns what a file says of the data's class names.

  Args:
    path: a text file; a line is the data's name, a tab or else a comma, and
      the model's name or number. Of several commas the first one counts.

  Raises:
    UserError: if it cannot be read, or a line is something else.
  """
  try:
    text = storage.absolute(path).read_text(encoding="utf-8")
  except (OSError, ValueError) as error:
    raise errors.UserError(
      f"class_map={path} must be a text file: {error}."
    ) from error
  given: dict[str, str] = {}
  for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
    if not line.strip():
      continue
    name, _, target = line.partition("\t" if "\t" in line else ",")
    name, target = name.strip(), target.strip()
    if not name or not target or name in given:
      fault = "names a class again" if name in given else "is none"
      raise errors.UserError(
        f"class_map={path}, line {number}, {line.strip()[:60]!r}, {fault}: "
        "write DATA'S-CLASS,MODEL'S-CLASS, each of the data's once."
      )
    given[name] = target
  return given


def _places(names: Sequence[str]) -> dict[str, int]:
  """Returns each name's place, of the names that only one class has."""
  counts = collections.Counter(names)
  return {name: i for i, name in enumerate(names) if counts[name] == 1}


def _mismatch(
  strange: Sequence[str],
  theirs: Sequence[str],
  ours: Sequence[str],
  remedy: str,
) -> errors.UserError:
  twice = [n for n, count in collections.Counter(ours).items() if count > 1]
  ambiguous = [name for name in strange if name in twice]
  reason = "are not among the weights' classes"
  if ambiguous:
    strange, reason = ambiguous, "are names that the weights have twice"
  trust = (
    ", or pass --trust_class_order if they are the same classes in this order"
    if len(theirs) == len(ours)
    else ""
  )
  return errors.UserError(
    f"the data's classes {_some(strange)} {reason} ({_some(ours)}); {remedy}"
    f"{trust}."
  )


def _some(names: Sequence[str]) -> str:
  more = len(names) - _LISTED
  listed = ", ".join(repr(name) for name in names[:_LISTED])
  return listed + (f" and {more} more" if more > 0 else "")
