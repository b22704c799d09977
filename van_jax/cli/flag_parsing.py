"""A script's flags and config: what is wrong with them, in one line."""

import os
import re
import traceback
from collections.abc import Sequence
from typing import Any

from absl import flags

from van_jax.cli import schema

_NOT_THE_USERS = (
  __file__,
  f"{os.sep}absl{os.sep}",
  f"{os.sep}ml_collections{os.sep}",
)


def parse(arguments: Sequence[str]) -> list[str]:
  """Parses the flags of a script, with `--config` if it has that flag.

  Absl and ml_collections would show tracebacks for much of what can be wrong.

  Args:
    arguments: `sys.argv`.

  Returns:
    The program's name, alone.

  Raises:
    ValueError: naming the flag, the config key, or the config file's line.
  """
  config = _load_config(arguments)
  overrides = [] if config is None else _overrides(arguments)
  for key, _ in overrides:
    _check_key(config, key)
  try:
    program, *rest = flags.FLAGS(arguments)
  except flags.Error as error:
    for key, value in overrides:
      if str(error).startswith(f"flag --config.{key}={value}:"):
        raise _wrong_type(config, key, value) from error
    line = " ".join(str(error).split()).rstrip(".")
    raise ValueError(f"{line}; --help lists the flags.") from error
  if rest:
    raise ValueError(
      f"{rest[0]!r} is not a flag: flags are written --NAME=VALUE, and --help "
      "lists them."
    )
  return [program]


def _load_config(arguments: Sequence[str]) -> Any:
  """Returns the config as its file makes it; None when none is named."""
  given = None
  for this, after in zip(arguments, [*arguments[1:], ""], strict=True):
    if found := re.fullmatch(r"--?config(?:=(.*))?", this):
      given = after if found[1] is None else found[1]
  if given is None or "config" not in flags.FLAGS:
    return None
  path = given.split(":", 1)[0]
  if not os.path.isfile(path):
    raise ValueError(
      f"--config={given} must be a Python file that defines get_config(), and "
      f"there is no file {path!r}; the folder configs holds some."
    )
  try:
    config = flags.FLAGS["config"].parser.parse(given)
  except Exception as error:  # Whatever the file raised.
    hint = f"; the head of {path} says what may follow the colon"
    raise ValueError(
      f"--config={given}: {_origin(error)}{hint if ':' in given else ''}."
    ) from error
  if not hasattr(config, "get_type"):
    raise ValueError(
      f"--config={given}: get_config() must return a ConfigDict, and returns "
      f"{config!r}."
    )
  return config


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


def _overrides(arguments: Sequence[str]) -> list[tuple[str, str]]:
  """Returns the dotted key and the value of every `--config.KEY=VALUE`."""
  found = []
  for this, after in zip(arguments, [*arguments[1:], ""], strict=True):
    if match := re.fullmatch(r"--?(?:no)?config\.([^=]+)(?:=(.*))?", this):
      found.append((match[1], after if match[2] is None else match[2]))
  return found


def _check_key(config: Any, key: str) -> None:
  """Raises ValueError unless a dotted key is in the config."""
  *sections, last = key.split(".")
  name = "config."
  for section in sections:
    schema.check_key(name, section, set(config))
    config = config[section]
    name += f"{section}."
    if not hasattr(config, "get_type"):
      raise ValueError(
        f"{name}{last} cannot be set: {name[:-1]} is the value {config!r}, not "
        "a section."
      )
  schema.check_key(name, last, set(config))
  if hasattr(config[last], "get_type"):
    raise ValueError(
      f"{name}{last} is a section; set its keys one by one: "
      f"{', '.join(sorted(config[last]))}."
    )


def _wrong_type(config: Any, key: str, value: str) -> ValueError:
  *sections, last = key.split(".")
  for section in sections:
    config = config[section]
  kind = config.get_type(last).__name__
  return ValueError(
    f"config.{key}={value!r} must be of type {kind}; the config file has "
    f"{config[last]!r}."
  )
