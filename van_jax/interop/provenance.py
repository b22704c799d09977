"""Where weights come from, and what a user should know about them."""

import collections
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from van_jax import models
from van_jax.interop.assignment import arrays, assign
from van_jax.interop.names import segmenters, state_dicts
from van_jax.interop.readers import excerpts, weight_files

_BLOCK = 1 << 20  # Bytes.


def describe(
  contents: weight_files.Contents,
  weights: state_dicts.StateDict,
  assignment: assign.Assignment,
) -> dict[str, Any]:
  """Returns where the weights come from, as plain JSON values.

  Args:
    contents: of the file; it is open.
    weights: in the file.
    assignment: of the weights.
  """
  digest = hashlib.sha256()  # Of shards: one after the other.
  for path in contents.files:
    with path.open("rb") as file:
      while block := file.read(_BLOCK):
        digest.update(block)
  dtypes = collections.Counter(
    assignment.tensors[entry.key].dtype for entry in assignment.entries.values()
  )
  model, of = assignment.model, weights.dialect.table
  if isinstance(model, models.Segmenter):
    model, of = model.backbone, segmenters.HEADS.table
  return {
    "file": contents.path.name,
    "bytes": contents.bytes,
    "sha256": digest.hexdigest(),
    "format": of.name,
    "container": contents.container,
    "place": weights.place,
    "averaged": weights.averaged,
    "variant": models.variant_name(model),
    "arrays": len(assignment.entries),
    "dtypes": dict(dtypes),
    "dropped": assignment.dropped,
    "not_rebuilt": sorted(map(excerpts.excerpt, contents.unknown)),
    "batches_seen": arrays.batches_seen(assignment),
  }


def warnings(
  source: Mapping[str, Any], weights: state_dicts.StateDict
) -> Iterator[str]:
  """Yields what a user could overlook.

  Args:
    source: of `describe`, with "non_finite": the paths of such arrays.
    weights: in the file.
  """
  others = {k: n for k, n in source["dtypes"].items() if k != "float32"}
  if others:
    listed = ", ".join(f"{n} arrays of {kind}" for kind, n in others.items())
    yield f"converted to float32: {listed}"
  if "float64" in others:
    yield "float64 does not fit into float32: it was rounded"
  if dropped := source["dropped"]:
    listed = ", ".join(f"{part} ({n} arrays)" for part, n in dropped.items())
    yield f"only the VAN is converted; left out: {listed}"
  if names := source["not_rebuilt"]:
    yield (
      f"objects of {len(names)} classes in the file are not rebuilt, and no "
      f"weight depends on one: {excerpts.listed(names, 10)}"
    )
  if weights.others and weights.averaged:
    yield (
      f"{weights.place} is the moving average of the weights, and "
      f"{weights.others} has the weights without averaging: --noaveraged"
    )
  elif weights.others:
    yield f"the file also has averaged weights, {weights.others}: --averaged"
  if bad := source["non_finite"]:
    listed = ", ".join(bad[:5])
    yield (
      f"NaN or infinite weights in {len(bad)} arrays ({listed}); the logits "
      "will not be numbers"
    )
