"""What programs put before the names of a network's weights, taken off again.

torch's wrappers put a word of their own anywhere in a name; a training module,
such as Lightning's, puts the attribute before it that holds the network.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from van_jax import errors
from van_jax.interop.names import key_tables, keys
from van_jax.interop.readers import excerpts

_T = TypeVar("_T")

# Words of DataParallel and AveragedModel, torch.compile, FullyShardedData-
# Parallel and activation checkpointing.
_WRAPPERS = frozenset(
  (
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
  )
)
# How many updates an average has seen: torch's, and mmengine's.
_COUNTERS = ("n_averaged", "steps")
# What every VAN has in each format, and what stands before it.
_INSIDE = re.compile(
  r"(?P<before>(?:.{1,200}?\.)?)(?:patch_embed[1-4]|encoder\.stages\.[0-3])\..+"
)
_MOST_NAMES = 50_000  # VAN-B6 has 3,062.
_MOST = 8  # Networks in a file that are looked at.


@dataclasses.dataclass(frozen=True)
class Found:
  """Whose names some keys are.

  Attributes:
    dialect: of the names.
    outer: what stands before them.
  """

  dialect: keys.Dialect
  outer: str


def unwrapped(found: Mapping[str, _T]) -> dict[str, _T]:
  """Returns values by key, without the words of torch's wrappers.

  Raises:
    UserError: if two keys are one without them.
  """
  plain: dict[str, _T] = {}
  for key, value in found.items():
    name = ".".join(w for w in key.split(".") if w not in _WRAPPERS)
    if name in plain:
      raise errors.UserError(
        f"{excerpts.excerpt(name)} is in the file twice, with and without "
        "torch's wrappers; save the state_dict of the network alone."
      )
    plain[name] = value
  if len(plain) > len(_COUNTERS):
    for counter in _COUNTERS:
      plain.pop(counter, None)
  return plain


def find(found: Iterable[str]) -> Found | None:
  """Returns whose names most of the keys are; None if nobody's.

  Args:
    found: keys, unwrapped.

  Raises:
    UserError: if there are several networks.
  """
  names = list(found)
  if len(names) > _MOST_NAMES:
    raise errors.UserError(
      f"the file has {len(names):,} weights by name, and no VAN has "
      f"{_MOST_NAMES:,}; save the state_dict of the network alone."
    )
  befores = {m["before"] for key in names if (m := _INSIDE.fullmatch(key))}
  if len(befores) > _MOST:
    raise _several(befores)
  candidates = {before: _best(names, before) for before in befores or {""}}
  ranked = sorted(candidates, key=lambda before: candidates[before][1])
  found_here, most = candidates[ranked[-1]]
  if len(ranked) > 1 and candidates[ranked[-2]][1] > most / 2:
    raise _several(befores)
  return found_here


def _best(names: list[str], before: str) -> tuple[Found | None, int]:
  """Returns how most names after `before` are explained, and their number."""
  inner = {p for table in key_tables.TABLES for p in table.prefixes}
  best, most = None, 0
  # The shortest first: where nothing more is explained, nothing is taken off.
  for outer in sorted({before.removesuffix(p) for p in inner}, key=len):
    rest = [k.removeprefix(outer) for k in names if k.startswith(outer)]
    dialect = keys.recognise(rest)
    count = len(keys.entries_of_keys(rest, dialect)) if dialect else 0
    if dialect and count > most:
      best, most = Found(dialect, outer), count
  return best, most


def _several(befores: Iterable[str]) -> errors.UserError:
  return errors.UserError(
    "the file has several VANs, whose names start with "
    f"{excerpts.listed(repr(before) for before in sorted(befores))}; save the "
    "state_dict of one of them alone."
  )


def part(key: str) -> str:
  """Returns the part of a network that a key belongs to: its first word."""
  return excerpts.excerpt(key.partition(".")[0])


def parts(found: Iterable[str]) -> dict[str, int]:
  """Returns how many keys each part has."""
  return dict(collections.Counter(map(part, found)))
