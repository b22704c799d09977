"""Freezing: parameters that training leaves as they are, by their paths."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import jax
import optax

from van_jax import errors
from van_jax.training.recipe import van_prefixes


def freeze_labels(params: optax.Params, patterns: Sequence[str]) -> Any:
  """Returns the tree of "frozen" and "trained", by the leaves' paths.

  A pattern is to match a whole path, or all of it below a VAN's prefix:
  "norm1/.*" freezes "norm1/bias" and "backbone/norm1/bias".

  Args:
    params: nested mappings, named as a "params" collection.
    patterns: regular expressions, at least one.

  Raises:
    UserError: when a pattern matches no path, or nothing is left to train.
  """
  prefixes = van_prefixes.find(params)

  def names(path: tuple[Any, ...]) -> list[str]:
    """Returns the path of a leaf as patterns may write it."""
    whole = jax.tree_util.keystr(path, simple=True, separator="/")
    inner = [whole[len(p) :] for p in prefixes if p and whole.startswith(p)]
    return [whole, *inner]

  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  paths = [names(path) for path, _ in leaves]
  for pattern in patterns:
    if not any(re.fullmatch(pattern, name) for path in paths for name in path):
      raise errors.UserError(
        _unmatched(pattern, [name for n in paths for name in n])
      )
  frozen = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
  if all(any(map(frozen.fullmatch, path)) for path in paths):
    raise errors.UserError(
      f"optimizer.frozen_patterns={tuple(patterns)} must leave something to "
      "train and freeze every parameter; narrow them."
    )
  return jax.tree_util.tree_map_with_path(
    lambda path, _: (
      "frozen" if any(map(frozen.fullmatch, names(path))) else "trained"
    ),
    params,
  )


def stop_frozen(params: Any, patterns: Sequence[str]) -> Any:
  """Returns the parameters, those that are frozen closed to gradients.

  Their gradients are then zero, are not computed, and count in no norm.

  Args:
    params: nested mappings, named as a "params" collection.
    patterns: as of `freeze_labels`; none freezes nothing.
  """
  if not patterns:
    return params
  return jax.tree.map(
    lambda p, label: jax.lax.stop_gradient(p) if label == "frozen" else p,
    params,
    freeze_labels(params, patterns),
  )


def check_patterns(patterns: Sequence[str]) -> None:
  """Raises UserError for what is no sequence of regular expressions."""
  if isinstance(patterns, str):
    raise errors.UserError(
      f"optimizer.frozen_patterns={patterns!r} must be a sequence of "
      "patterns; put the string into a tuple."
    )
  for pattern in patterns:
    try:
      re.compile(pattern)
    except re.error as error:
      raise errors.UserError(
        f"optimizer.frozen_patterns: {pattern!r} must be a regular expression "
        f"and is not ({error}); escape or balance it."
      ) from error


def _unmatched(pattern: str, paths: Sequence[str]) -> str:
  """Returns the message for a pattern that matches no path."""
  top = dict.fromkeys(path.split("/")[0] for path in paths)
  near = difflib.get_close_matches(pattern, [*paths, *top], n=3, cutoff=0.5)
  hint = f" Nearest: {', '.join(near)}." if near else ""
  return (
    f"optimizer.frozen_patterns: {pattern!r} must match the whole path of a "
    "parameter and matches none; write 'block1_0/.*' for all of block1_0."
    f"{hint} Top-level names: {', '.join(top)}."
  )
