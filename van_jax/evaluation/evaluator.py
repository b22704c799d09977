"""Evaluation: one exact pass over a data set, each example counted once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from van_jax import errors, parallel

Step = Callable[..., dict[str, jax.Array]]


def make_eval_step(
  *,
  apply: Callable[..., Any],
  inputs: Callable[[Mapping[str, jax.Array]], Any],
  sums: Callable[..., dict[str, jax.Array]],
  mesh: Mesh,
) -> Step:
  """Builds `(variables, batch) -> sums over real examples`, jitted.

  Variables may lie as they will: each device gathers them for its examples.

  Args:
    apply: the model's `apply`.
    inputs: maps a batch to what the model takes.
    sums: `(outputs, batch) -> sums`, the batch's mask applied.
    mesh: devices that share the batch.
  """
  whole, by_example = _shardings(mesh)

  def eval_step(variables, batch):
    variables = jax.lax.with_sharding_constraint(variables, whole)
    return sums(apply(variables, inputs(batch), train=False), batch)

  return jax.jit(
    eval_step, in_shardings=(None, by_example), out_shardings=whole
  )


def make_outputs_step(
  *,
  apply: Callable[..., Any],
  inputs: Callable[[Mapping[str, jax.Array]], Any],
  mesh: Mesh,
) -> Callable[..., Any]:
  """Builds `(variables, batch) -> outputs`, jitted, split like the batch.

  One network, compiled once, for data sets that are scored in other ways; see
  `make_sums_step`. Arguments as of `make_eval_step`.
  """
  whole, by_example = _shardings(mesh)

  def outputs_step(variables, batch):
    variables = jax.lax.with_sharding_constraint(variables, whole)
    return apply(variables, inputs(batch), train=False)

  return jax.jit(
    outputs_step, in_shardings=(None, by_example), out_shardings=by_example
  )


def make_sums_step(sums: Callable[..., dict[str, jax.Array]], mesh: Mesh):
  """Jits `(outputs, batch) -> sums` over a batch that is split."""
  whole, by_example = _shardings(mesh)
  return jax.jit(sums, in_shardings=by_example, out_shardings=whole)


def evaluate(
  eval_step: Step,
  variables: Mapping[str, Any],
  batches: Iterable[Mapping[str, Any]],
  scores: Callable[[Mapping[str, np.ndarray]], dict[str, Any]],
) -> dict[str, Any]:
  """Returns the scores of a pass over all batches.

  Args:
    eval_step: from `make_eval_step`: `(variables, batch) -> sums`.
    variables: `{"params": ..., "batch_stats": ...}`.
    batches: device batches with image, label and mask.
    scores: maps the sums over all batches to what is returned.
  """
  totals, pending = None, None
  for batch in batches:
    sums = eval_step(variables, batch)
    if pending is not None:
      totals = accumulate(totals, pending)
    pending = sums  # Fetched one batch late, so that the device never idles.
  if pending is not None:
    totals = accumulate(totals, pending)
  if totals is None:
    raise errors.UserError(
      "The evaluation split gave no batch; it must not be empty."
    )
  return scores(totals)


def accumulate(
  totals: Mapping[str, np.ndarray] | None, sums: Mapping[str, jax.Array]
) -> dict[str, np.ndarray]:
  """Returns the totals with the sums of one more batch, on the host.

  Integers are kept in int64 and all else in float64: no overflow, no drift.

  Args:
    totals: of the batches so far; None before the first.
    sums: of one batch, by name.
  """
  wide = {name: _wide(np.asarray(value)) for name, value in sums.items()}
  if totals is None:
    return wide
  return {name: totals[name] + value for name, value in wide.items()}


def _wide(value: np.ndarray) -> np.ndarray:
  whole = np.issubdtype(value.dtype, np.integer)
  return value.astype(np.int64 if whole else np.float64)


def _shardings(mesh: Mesh):
  """Returns the shardings of what each device holds whole, and of batches."""
  return parallel.replicated(mesh), parallel.split_by_example(mesh)


def single_numbers(scores: Mapping[str, Any]) -> dict[str, float]:
  """Returns the scores that are single numbers: what fits on a line."""
  return {k: v for k, v in scores.items() if isinstance(v, int | float)}
