"""Evaluation: one exact pass over a data set, each example counted once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax.evaluation import metrics


def make_eval_step(
  *,
  apply: Callable[..., jax.Array],
  prepare: Callable[[jax.Array], jax.Array],
  num_classes: int,
  mesh: Mesh,
) -> Callable[..., dict[str, jax.Array]]:
  """Builds `(variables, batch) -> sums over real examples`, jitted.

  Args:
    apply: the model's `apply`.
    prepare: maps images uint8 [B, H, W, 3] to what the model takes.
    num_classes: K.
    mesh: devices that share the batch; its only axis is the batch.
  """

  def eval_step(variables, batch):
    logits = apply(variables, prepare(batch["image"]), train=False)
    return metrics.batch_sums(
      logits, batch["label"], batch["mask"], num_classes
    )

  whole = NamedSharding(mesh, PartitionSpec())
  by_example = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
  return jax.jit(
    eval_step, in_shardings=(whole, by_example), out_shardings=whole
  )


def make_logits_step(
  *,
  apply: Callable[..., jax.Array],
  prepare: Callable[[jax.Array], jax.Array],
  mesh: Mesh,
) -> Callable[..., jax.Array]:
  """Builds `(variables, images) -> logits [B, K]`, jitted, split like images.

  One network, compiled once, for data sets that are scored in other ways; see
  `make_sums_step`. Arguments as of `make_eval_step`.
  """
  whole = NamedSharding(mesh, PartitionSpec())
  by_example = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
  return jax.jit(
    lambda variables, images: apply(variables, prepare(images), train=False),
    in_shardings=(whole, by_example),
    out_shardings=by_example,
  )


def make_sums_step(
  sums: Callable[..., dict[str, jax.Array]], mesh: Mesh
) -> Callable[..., dict[str, jax.Array]]:
  """Jits `(logits, labels, mask) -> sums` over a batch that is split."""
  by_example = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
  return jax.jit(
    sums,
    in_shardings=by_example,
    out_shardings=NamedSharding(mesh, PartitionSpec()),
  )


def evaluate(
  eval_step: Callable[..., dict[str, jax.Array]],
  variables: Mapping[str, Any],
  batches: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
  """Returns the metrics of a pass over all batches.

  Args:
    eval_step: from `make_eval_step`: `(variables, batch) -> sums`.
    variables: `{"params": ..., "batch_stats": ...}`.
    batches: device batches with image, label and mask.

  Returns:
    As `metrics.finalize`: top1, top5, loss, count, per-class accuracy.
  """
  totals, pending = None, None
  for batch in batches:
    sums = eval_step(variables, batch)
    if pending is not None:
      totals = metrics.accumulate(totals, pending)
    pending = sums  # Fetched one batch late, so that the device never idles.
  if pending is not None:
    totals = metrics.accumulate(totals, pending)
  if totals is None:
    raise ValueError(
      "The evaluation split gave no batch; it must not be empty."
    )
  return metrics.finalize(totals)
