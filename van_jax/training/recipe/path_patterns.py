"""Parameters chosen by their paths: regular expressions of a config."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import jax

from van_jax import errors
from van_jax.training.recipe import van_prefixes


def matched(
  params: Any, patterns: Sequence[str], *, field: str, required: bool = True
) -> Any:
  """Returns the tree of Booleans: does any pattern match the leaf's path?

  A pattern is to match a whole path, or all of it below a VAN's prefix:
  "norm1/.*" matches "norm1/bias" and "backbone/norm1/bias".

  Args:
    params: nested mappings, named as a "params" collection.
    patterns: regular expressions.
    field: of the config, for errors.
    required: whether each pattern must match something.

  Raises:
    UserError: when a pattern that must matches no path.
  """
  prefixes = van_prefixes.find(params)

  def names(path: tuple[Any, ...]) -> list[str]:
    """Returns the path of a leaf as patterns may write it."""
    whole = jax.tree_util.keystr(path, simple=True, separator="/")
    inner = [whole[len(p) :] for p in prefixes if p and whole.startswith(p)]
    return [whole, *inner]

  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  every = [name for path, _ in leaves for name in names(path)]
  for pattern in patterns if required else ():
    if not any(re.fullmatch(pattern, name) for name in every):
      raise errors.UserError(_unmatched(field, pattern, every))
  chosen = re.compile("|".join(f"(?:{p})" for p in patterns) or r"(?!)")
  return jax.tree_util.tree_map_with_path(
    lambda path, _: any(map(chosen.fullmatch, names(path))), params
  )


def check(patterns: Sequence[str], field: str) -> None:
  """Raises UserError for what is no sequence of regular expressions."""
  if isinstance(patterns, str):
    raise errors.UserError(
      f"{field}={patterns!r} must be a sequence of patterns; put the string "
      "into a tuple."
    )
  for pattern in patterns:
    try:
      re.compile(pattern)
    except re.error as error:
      raise errors.UserError(
        f"{field}: {pattern!r} must be a regular expression and is not "
        f"({error}); escape or balance it."
      ) from error


def _unmatched(field: str, pattern: str, paths: Sequence[str]) -> str:
  """Returns the message for a pattern that matches no path."""
  top = dict.fromkeys(path.split("/")[0] for path in paths)
  near = difflib.get_close_matches(pattern, [*paths, *top], n=3, cutoff=0.5)
  hint = f" Nearest: {', '.join(near)}." if near else ""
  return (
    f"{field}: {pattern!r} must match the whole path of a parameter and "
    "matches none; write 'block1_0/.*' for all of block1_0."
    f"{hint} Top-level names: {', '.join(top)}."
  )
