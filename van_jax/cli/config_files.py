"""Config files: a user's own, and those that come with van_jax."""

import itertools
import linecache
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

from van_jax import errors, imports, storage

_PACKAGE = pathlib.Path(__file__).parent.parent
_NOT_THE_USERS = (
  __file__,
  f"{os.sep}absl{os.sep}",
  f"{os.sep}ml_collections{os.sep}",
)


def home() -> pathlib.Path:
  """Returns the folder of `configs` and of the scripts.

  A wheel has it inside of the package (see pyproject.toml); in a checkout it
  is the one around the package.
  """
  inside = _PACKAGE / "scripts"
  return inside if inside.is_dir() else _PACKAGE.parent


def make_importable() -> None:
  """Lets config files import `configs`, and modules where the user stands.

  Both are so for `python train.py`, whatever started this program.
  """
  for folder in (os.fspath(home()), os.getcwd()):
    if folder not in sys.path:
      sys.path.append(folder)


def find(given: str) -> str:
  """Returns a local path of a config file, PATH or PATH:ARGUMENT.

  Where the user's folder has no such file, van_jax's own is taken.

  Raises:
    UserError: when there is none.
  """
  if storage.is_remote(given):
    raise errors.UserError(
      f"--config={given} must be a local file; copy it, and name the copy."
    )
  path, colon, argument = given.partition(":")
  found = storage.absolute(path)
  if not found.is_file():
    found = home() / path
  if not found.is_file():
    raise errors.UserError(
      f"--config={given} must be a Python file that defines get_config(), and "
      f"there is no file {path!r}; {home() / 'configs'} holds some."
    )
  return f"{os.fspath(found)}{colon}{argument}"


def load(given: str, parse: Callable[[str], Any]) -> Any:
  """Returns the config as its file makes it.

  Args:
    given: PATH or PATH:ARGUMENT, as the user wrote it.
    parse: ml_collections' function from what `find` returns to the config.

  Raises:
    UserError: naming the file's line that failed, or what may follow the
      colon.
  """
  found = find(given)
  try:
    config = parse(found)
  except Exception as error:  # Whatever the file raised.
    raise errors.UserError(
      f"--config={given}: {_said_by_file(error, found)}."
    ) from error
  if not hasattr(config, "get_type"):
    raise errors.UserError(
      f"--config={given}: get_config() must return a ConfigDict, and returns "
      f"{config!r}."
    )
  return config


def _said_by_file(error: Exception, found: str) -> str:
  """Returns why a config file could not be loaded."""
  path, colon, argument = found.partition(":")
  # The whole of it, or one of what commas part in it.
  missed = error.args[0] if isinstance(error, KeyError) else None
  choices = _choices(error, path)
  if colon and choices and missed in (argument, *argument.split(",")):
    listed = imports.nearest(missed, choices)
    return f"{missed!r} may not follow the colon; {listed}"
  hint = f"; the head of {path} says what may follow the colon"
  return _origin(error) + (hint if colon else "")


def _choices(error: Exception, path: str) -> list[str]:
  """Returns the keys of a config file's tables, NAME = {...}.

  Of those that the line names which failed, or of all if it names none.
  """
  tables: dict[str, dict[str, Any]] = {}
  text = ""
  for frame, line in traceback.walk_tb(error.__traceback__):
    if frame.f_code.co_filename == path and frame.f_code.co_name != "<module>":
      text = linecache.getline(path, line)
      tables |= {
        name: table
        for name, table in frame.f_globals.items()
        if name.isupper() and isinstance(table, dict)
      }
  words = re.findall(r"\w+", text)
  named = [tables[name] for name in tables if name in words]
  return list(dict.fromkeys(itertools.chain(*(named or tables.values()))))


def _origin(error: BaseException) -> str:
  """Returns what an exception says, and which line of the user's raised it."""
  place = _place(error)
  while not place and error.__context__ is not None:
    error = error.__context__
    place = _place(error)
  return f"{place}{type(error).__name__}: {' '.join(str(error).split())}"


def _place(error: BaseException) -> str:
  """Returns the last line of the user's in a traceback; "" without any."""
  lines = [
    f"{frame.filename}, line {frame.lineno}: "
    for frame in traceback.extract_tb(error.__traceback__)
    if os.path.isfile(frame.filename)
    and not any(name in frame.filename for name in _NOT_THE_USERS)
  ]
  return lines[-1] if lines else ""
