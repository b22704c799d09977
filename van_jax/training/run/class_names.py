"""The names of a run's classes, kept in its workdir beside the config.

Runs of earlier versions have none; they go on, and get them.
"""

import json
import os
from collections.abc import Sequence

from van_jax import errors, storage

FILE = "class_names.json"


def write(workdir: str | os.PathLike[str], names: Sequence[str]) -> None:
  """Writes the names in the order of the labels; nothing where there are none.

  Args:
    workdir: the run's folder.
    names: [K].
  """
  if names:
    with storage.replacing(storage.absolute(workdir) / FILE) as draft:
      text = json.dumps(list(names), indent=0, ensure_ascii=False)
      draft.write_text(f"{text}\n", encoding="utf-8")


def read(workdir: str | os.PathLike[str]) -> tuple[str, ...] | None:
  """Returns the names that a workdir keeps; None where it keeps none.

  Raises:
    UserError: if the file is damaged.
  """
  path = storage.absolute(workdir) / FILE
  if not path.exists():
    return None
  try:
    names = storage.read_json(path)
  except (OSError, ValueError) as error:
    raise _damaged(path, str(error)) from error
  if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
    raise _damaged(path, "it is no list of names")
  return tuple(names)


def check(workdir: str | os.PathLike[str], names: Sequence[str]) -> None:
  """Raises UserError where a run would go on with other classes.

  Args:
    workdir: the run's folder; need not exist.
    names: [K], of the data.
  """
  kept = read(workdir)
  if kept is None or not names or kept == tuple(names):
    return
  pairs = zip(kept, names, strict=False)
  first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
  difference = (
    f"{len(kept)} there, {len(names)} here"
    if first is None
    else f"class {first} is {kept[first]!r} there, {names[first]!r} here"
  )
  raise errors.UserError(
    f"workdir={workdir} holds a run of other classes than the data's: "
    f"{difference}. Restore the data, name another folder, or pass "
    "--start_over, which sets that run aside."
  )


def _damaged(path: os.PathLike[str], what: str) -> errors.UserError:
  return errors.UserError(
    f"{os.fspath(path)} is damaged: {what}; remove it: the run goes on without "
    "names, and the next start writes it anew."
  )
