"""Freezing: parameters that training leaves as they are, by their paths."""

from collections.abc import Sequence
from typing import Any

import jax
import optax

from van_jax import errors
from van_jax.training.recipe import path_patterns

_FIELD = "optimizer.frozen_patterns"


def freeze_labels(params: optax.Params, patterns: Sequence[str]) -> Any:
  """Returns the tree of "frozen" and "trained", by the leaves' paths.

  Args:
    params: nested mappings, named as a "params" collection.
    patterns: regular expressions, at least one; see `path_patterns.matched`.

  Raises:
    UserError: when a pattern matches no path, or nothing is left to train.
  """
  frozen = path_patterns.matched(params, patterns, field=_FIELD)
  if all(jax.tree.leaves(frozen)):
    raise errors.UserError(
      f"{_FIELD}={tuple(patterns)} must leave something to train and freeze "
      "every parameter; narrow them."
    )
  return jax.tree.map(lambda is_: "frozen" if is_ else "trained", frozen)


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
  path_patterns.check(patterns, _FIELD)
