"""A script's flags and config: what is wrong with them, in one line."""

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from absl import flags

from van_jax import errors
from van_jax.cli import dotted_keys, moved_keys, open_sections, schema

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
    UserError: naming the flag, the config key, or the config file's line.
  """
  config = _load_config(arguments)
  if config is None:
    return _parse(arguments, None, [])
  arguments, settings = open_sections.take(arguments)
  for setting in settings:
    _section(config, setting.section.split("."), setting.key)
  overrides = _overrides(arguments)
  for key, _ in overrides:
    moved_keys.check_key(key)
    _check_key(config, key)
  program = _parse(arguments, config, overrides)
  given: Any = flags.FLAGS["config"].value
  with config.unlocked(), given.unlocked():
    _move(config, keep=())
    _move(given, keep=[key for key, _ in overrides])
    open_sections.apply(given, config, settings)
  return program


def _move(config: Any, keep: Collection[str]) -> None:
  """Brings what a config file of before says to the keys of now.

  Args:
    config: unlocked.
    keep: keys that flags have set.
  """
  for key, value in moved_keys.take(config).items():
    section = key.rpartition(".")[0]
    if not dotted_keys.has(config, section):
      dotted_keys.put(config, section, {})
    if key not in keep:
      dotted_keys.put(config, key, value)


def _parse(
  arguments: Sequence[str], config: Any, overrides: Sequence[tuple[str, str]]
) -> list[str]:
  """Does what `parse` says for flags that ml_collections can take."""
  try:
    with _as_program_arguments(arguments):
      program, *rest = flags.FLAGS(arguments)
  except flags.Error as error:
    for key, value in overrides:
      if str(error).startswith(f"flag --config.{key}={value}:"):
        raise _wrong_type(config, key, value) from error
    line = " ".join(str(error).split()).rstrip(".")
    raise errors.UserError(f"{line}; --help lists the flags.") from error
  if rest:
    raise errors.UserError(
      f"{rest[0]!r} is not a flag: flags are written --NAME=VALUE, and --help "
      "lists them."
    )
  return [program]


@contextlib.contextmanager
def _as_program_arguments(arguments: Sequence[str]) -> Iterator[None]:
  """Puts arguments in sys.argv: where ml_collections looks for overrides."""
  own = sys.argv
  sys.argv = list(arguments)
  try:
    yield
  finally:
    sys.argv = own


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
    raise errors.UserError(
      f"--config={given} must be a Python file that defines get_config(), and "
      f"there is no file {path!r}; the folder configs holds some."
    )
  try:
    config = flags.FLAGS["config"].parser.parse(given)
  except Exception as error:  # Whatever the file raised.
    hint = f"; the head of {path} says what may follow the colon"
    raise errors.UserError(
      f"--config={given}: {_origin(error)}{hint if ':' in given else ''}."
    ) from error
  if not hasattr(config, "get_type"):
    raise errors.UserError(
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
  """Raises UserError unless a dotted key is in the config."""
  *names, last = key.split(".")
  section = _section(config, names, last)
  name = "".join(f"{part}." for part in ("config", *names))
  schema.check_key(name, last, set(section))
  if hasattr(section[last], "get_type"):
    raise errors.UserError(
      f"{name}{last} is a section; set its keys one by one: "
      f"{', '.join(sorted(section[last])) or 'there are none yet'}."
    )


def _section(config: Any, names: Sequence[str], key: str) -> Any:
  """Returns the section that a key is to be in.

  Raises:
    UserError: when there is no such section.
  """
  prefix = "config."
  for name in names:
    schema.check_key(prefix, name, set(config))
    config = config[name]
    prefix += f"{name}."
    if not hasattr(config, "get_type"):
      raise errors.UserError(
        f"{prefix}{key} cannot be set: {prefix[:-1]} is the value {config!r}, "
        "not a section."
      )
  return config


def _wrong_type(config: Any, key: str, value: str) -> errors.UserError:
  *names, last = key.split(".")
  section = _section(config, names, last)
  kind = section.get_type(last).__name__
  return errors.UserError(
    f"config.{key}={value!r} must be of type {kind}; the config file has "
    f"{section[last]!r}."
  )
