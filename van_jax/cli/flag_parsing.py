"""A script's flags and config: what is wrong with them, in one line."""

import contextlib
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from van_jax import errors
from van_jax.cli import (
  config_files,
  dotted_keys,
  moved_keys,
  open_sections,
  schema,
)

_CONFIG = re.compile(r"--?config(?:=(.*))?")
_OVERRIDE = re.compile(r"--?(?:no)?config\.([^=]+)(?:=(.*))?")
_NONE = "None"


def parse(
  arguments: Sequence[str], to: flags.FlagValues | None = None
) -> list[str]:
  """Parses the flags of a script, with `--config` if it has that flag.

  Absl and ml_collections would show tracebacks for much of what can be wrong.

  Args:
    arguments: `sys.argv`.
    to: where the flags are defined, and find their values; None for absl's
      own, FLAGS.

  Returns:
    The program's name, alone.

  Raises:
    UserError: naming the flag, the config key, or the config file's line.
  """
  to = flags.FLAGS if to is None else to
  given = _named_config(arguments)
  if given is None or "config" not in to:
    overrides = _overrides(arguments)
    if overrides and "config" in to:
      raise errors.UserError(
        f"--config.{overrides[0][0]} sets a key of a config, and none is "
        "named; pass --config=FILE too."
      )
    return _parse(arguments, to, None, [])
  config = config_files.load(given, to["config"].parser.parse)
  arguments = _with_config(arguments, config_files.find(given))
  arguments, settings = open_sections.take(arguments)
  for setting in settings:
    _section(config, setting.section.split("."), setting.key)
  overrides = _overrides(arguments)
  for key, _ in overrides:
    moved_keys.check_key(key)
    _check_key(config, key)
  arguments, nones = _take_nones(arguments, dict(overrides))
  program = _parse(arguments, to, config, overrides)
  flag: Any = to["config"]
  changed = flag.value
  with config.unlocked(), changed.unlocked():
    _move(config, keep=())
    _move(changed, keep=[key for key, _ in overrides])
    for key in nones:
      dotted_keys.put(changed, key, None)
      flag.override_values[key] = None
    open_sections.apply(changed, config, settings)
  return program


def of_config(arguments: Sequence[str]) -> list[str]:
  """Returns those of a script's arguments that name and change a config."""
  found, rest = [], list(arguments)
  while rest:
    argument = rest.pop(0)
    named = _CONFIG.fullmatch(argument) or _OVERRIDE.fullmatch(argument)
    if named:
      found.append(argument)
      if "=" not in argument and rest and not rest[0].startswith("--"):
        found.append(rest.pop(0))  # A Boolean's flag may have no value.
  return found


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
  arguments: Sequence[str],
  to: flags.FlagValues,
  config: Any,
  overrides: Sequence[tuple[str, str]],
) -> list[str]:
  """Does what `parse` says for flags that ml_collections can take."""
  try:
    with _as_program_arguments(arguments):
      program, *rest = to(arguments)
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


def _take_nones(
  arguments: Sequence[str], last: Mapping[str, str]
) -> tuple[list[str], list[str]]:
  """Returns the other arguments, and the keys that are set to None.

  ml_collections' parsers of numbers and tuples know no None.

  Args:
    arguments: as `sys.argv`.
    last: of each key that a flag sets, the last text.
  """
  nones = [key for key, text in last.items() if text == _NONE]
  others, rest = [], list(arguments)
  while rest:
    argument = rest.pop(0)
    key, text = next(iter(_overrides([argument, *rest[:1]])), ("", ""))
    if _OVERRIDE.fullmatch(argument) and (text == _NONE or key in nones):
      if "=" not in argument:
        rest.pop(0)
    else:
      others.append(argument)
  return others, nones


def _named_config(arguments: Sequence[str]) -> str | None:
  """Returns the last value of --config, if any."""
  given = None
  for this, after in zip(arguments, [*arguments[1:], ""], strict=True):
    if found := _CONFIG.fullmatch(this):
      given = after if found[1] is None else found[1]
  return given


def _with_config(arguments: Sequence[str], found: str) -> list[str]:
  """Returns the arguments with another value of --config."""
  others, rest = [], list(arguments)
  while rest:
    argument = rest.pop(0)
    if named := _CONFIG.fullmatch(argument):
      if named[1] is None:
        rest.pop(0)
      argument = f"--config={found}"
    others.append(argument)
  return others


def _overrides(arguments: Sequence[str]) -> list[tuple[str, str]]:
  """Returns the dotted key and the value of every `--config.KEY=VALUE`."""
  found = []
  for this, after in zip(arguments, [*arguments[1:], ""], strict=True):
    if match := _OVERRIDE.fullmatch(this):
      found.append((match[1], after if match[2] is None else match[2]))
  return found


def _check_key(config: Any, key: str) -> None:
  """Raises UserError unless a dotted key is in the config."""
  *names, last = key.split(".")
  section = _section(config, names, last)
  name = "".join(f"{part}." for part in ("config", *names))
  schema.check_key(name, last, set(section), list(dotted_keys.leaves(config)))
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
