"""Translates names, both ways, by the `key_tables`."""

import dataclasses
import functools
import re
from collections.abc import Iterable

from van_jax import errors
from van_jax.interop.names import key_tables

_NUMBER = r"0|[1-9]\d{0,5}"


@dataclasses.dataclass(frozen=True)
class Dialect:
  """A table, with the prefix that one file has.

  Attributes:
    table: of the format.
    prefix: what all names but the head's start with.
  """

  table: key_tables.KeyTable
  prefix: str

  def template(self, module: str, name: str) -> str:
    """Returns the foreign key of a module's array, with {s}, {z} and {j}."""
    prefix = "" if module == key_tables.HEAD else self.prefix
    foreign = prefix + self.table.modules[module]
    return f"{foreign}.{name}" if name else foreign

  # A Dialect is found by its names: tables are constants.
  def __hash__(self) -> int:
    return hash((self.table.name, self.prefix))


@dataclasses.dataclass(frozen=True)
class Entry:
  """One array under both its names.

  Attributes:
    key: the foreign one.
    path: ours, such as "params/norm1/scale".
    module: the template of our module.
    array: which one of the module's.
    stage: from 1 on; 0 for the head. Of a dense head, its first list's item.
    block: from 0 on; 0 outside the blocks. Of a dense head, the second list's.
  """

  key: str
  path: str
  module: str
  array: key_tables.Array
  stage: int
  block: int


def entry_of_path(path: str, dialect: Dialect) -> Entry:
  """Returns the entry of an array of ours.

  Raises:
    UserError: if the format has no name for it.
  """
  for pattern, module, array in _rules_of_paths(dialect):
    if match := pattern.fullmatch(path):
      return _matched(match, module, array, dialect)
  raise errors.UserError(
    f"{path} has no name in the {dialect.table.name} format; choose another "
    "format, or keep the bundle."
  )


def entries_of_keys(keys: Iterable[str], dialect: Dialect) -> dict[str, Entry]:
  """Returns {key: entry} of the keys that follow the table."""
  rules = _rules(dialect)
  found = {}
  for key in keys:
    for pattern, module, array in rules:
      if match := pattern.fullmatch(key):
        found[key] = _matched(match, module, array, dialect)
        break
  return found


def counters(entries: Iterable[Entry]) -> list[str]:
  """Returns the keys of the batch counters that torch keeps beside these."""
  return [
    f"{entry.key.rpartition('.')[0]}.{key_tables.COUNTER}"
    for entry in entries
    if entry.array.foreign == "running_mean"  # torch's name, not Paddle's.
  ]


def is_counter(key: str) -> bool:
  """Returns whether a key is one of torch's batch counters."""
  return key.rpartition(".")[2] == key_tables.COUNTER


def is_ignored(key: str, dialect: Dialect) -> bool:
  """Returns whether a key is listed as one that VAN does not use."""
  return any(re.fullmatch(p, key) for p in dialect.table.ignored)


def recognise(keys: Iterable[str]) -> Dialect | None:
  """Returns the dialect that most keys follow; None if none follows any."""
  keys = list(keys)
  counts = {
    dialect: len(entries_of_keys(keys, dialect))
    for table in key_tables.TABLES
    for dialect in (Dialect(table, prefix) for prefix in table.prefixes)
  }
  best = max(counts, key=lambda dialect: counts[dialect])
  return best if counts[best] else None


def _arrays(
  table: key_tables.KeyTable,
) -> Iterable[tuple[str, key_tables.Array]]:
  for module in table.modules:
    for array in table.arrays[table.kinds[module]]:
      yield module, array


def _path(module: str, array: key_tables.Array) -> str:
  """Returns our path of a module's array, with {s}, {z} and {j}."""
  path = f"{array.collection}/{module}"
  return f"{path}/{array.leaf}" if array.leaf else path


def _matched(match, module, array, dialect: Dialect) -> Entry:
  """Returns the entry at the place that a name tells."""
  found = {name: int(n) for name, n in match.groupdict().items()}
  stage, block = found.get("s", found.get("z", -1) + 1), found.get("j", 0)
  place = {"s": stage, "z": stage - 1, "j": block}
  return Entry(
    key=dialect.template(module, array.foreign).format(**place),
    path=_path(module, array).format(**place),
    module=module,
    array=array,
    stage=stage,
    block=block,
  )


@functools.cache
def _rules(
  dialect: Dialect,
) -> tuple[tuple[re.Pattern[str], str, key_tables.Array], ...]:
  """Returns the pattern of each array's foreign key."""
  return tuple(
    (_pattern(dialect.template(module, array.foreign)), module, array)
    for module, array in _arrays(dialect.table)
  )


@functools.cache
def _rules_of_paths(
  dialect: Dialect,
) -> tuple[tuple[re.Pattern[str], str, key_tables.Array], ...]:
  """Returns the pattern of each array's path."""
  return tuple(
    (_pattern(_path(module, array)), module, array)
    for module, array in _arrays(dialect.table)
  )


def _pattern(template: str) -> re.Pattern[str]:
  pattern = re.escape(template)
  for name in "szj":
    pattern = pattern.replace(rf"\{{{name}\}}", f"(?P<{name}>{_NUMBER})")
  return re.compile(pattern)
