"""The rule that a config's keys are the arguments of what they are for."""

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from van_jax import errors, signatures


def check_keys(
  config: Mapping[str, Any],
  *,
  sections: Mapping[str, tuple[Callable[..., Any], Collection[str]]],
  plain: Mapping[str, Collection[str]],
) -> None:
  """Raises unless a config has every key that is read, and no other.

  Args:
    config: nested dicts.
    sections: by section, the function that takes it as keywords, and which
      of its arguments come from elsewhere.
    plain: by section, the keys that are read one by one; "" is the top.

  Raises:
    UserError: naming the key, with the nearest that exist.
  """
  tree = _known(sections, plain)
  top = set(plain[""]) | sections.keys() | (plain.keys() - {""})
  _check("", config, required=top, allowed=top, tree=tree)
  for name, keys in plain.items():
    if name:
      fields = set(keys)
      _check(
        f"{name}.", config[name], required=fields, allowed=fields, tree=tree
      )
  for name, (function, given) in sections.items():
    required, allowed = _keywords(function)
    _check(
      f"{name}.",
      config[name],
      required=required - set(given),
      allowed=allowed and allowed - set(given),
      tree=tree,
    )


def check_key(
  prefix: str, key: str, allowed: Collection[str], tree: Collection[str] = ()
) -> None:
  """Raises UserError unless a key is among those allowed.

  Args:
    prefix: what the key is below, such as "config.optimizer.".
    key: as the user wrote it.
    allowed: the keys that there are.
    tree: dotted keys of values, to find it elsewhere.
  """
  if key not in allowed:
    near = (
      _elsewhere(key, tree)
      or signatures.did_you_mean(key, allowed, prefix)
      or _elsewhere(_nearest_last(key, tree), tree)
    )
    raise errors.UserError(
      f"{prefix}{key} is not a key that anything reads; {near}the keys are "
      f"{', '.join(sorted(allowed))}."
    )


def _known(
  sections: Mapping[str, tuple[Callable[..., Any], Collection[str]]],
  plain: Mapping[str, Collection[str]],
) -> list[str]:
  """Returns the dotted keys that are read, but for what any name may bring."""
  known = [f"{name}.{key}" for name, keys in plain.items() for key in keys]
  for name, (function, given) in sections.items():
    required, allowed = _keywords(function)
    known += [f"{name}.{key}" for key in sorted(allowed or required)]
    known = [key for key in known if key not in {f"{name}.{g}" for g in given}]
  return [key.removeprefix(".") for key in known]


def _elsewhere(name: str, tree: Collection[str]) -> str:
  """Returns the question after keys that end in a name; "" for none."""
  found = [key for key in tree if key.rpartition(".")[2] == name]
  listed = " or ".join(f"config.{key}" for key in found)
  return f"did you mean {listed}? " if found else ""


def _nearest_last(name: str, tree: Collection[str]) -> str:
  """Returns the nearest last component of the keys; "" for none."""
  lasts = {key.rpartition(".")[2] for key in tree}
  return next(iter(difflib.get_close_matches(name, sorted(lasts), n=1)), "")


def _keywords(
  function: Callable[..., Any],
) -> tuple[set[str], set[str] | None]:
  """Returns the required and the allowed names; None allows any."""
  parameters = inspect.signature(function).parameters.values()
  required = {
    p.name
    for p in parameters
    if p.default is p.empty and p.kind is not p.VAR_KEYWORD
  }
  if any(p.kind is p.VAR_KEYWORD for p in parameters):
    return required, None
  return required, {p.name for p in parameters}


def _check(
  prefix: str,
  section: Any,
  *,
  required: set[str],
  allowed: set[str] | None,
  tree: Collection[str],
) -> None:
  if not isinstance(section, Mapping):
    raise errors.UserError(
      f"config.{prefix.rstrip('.')}={section!r} must be a section with the "
      f"keys {sorted(required)}."
    )
  for key in section:
    if allowed is not None:
      check_key(f"config.{prefix}", key, allowed, tree)
  if missing := sorted(required - section.keys()):
    raise errors.UserError(
      f"config.{prefix}{missing[0]} is missing; start from configs/default.py, "
      "or of images with masks configs/segmentation.py, which have every key."
    )
