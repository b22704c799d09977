"""Where weights come from, and what a user should know about them."""

import collections
import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from van_jax import models
from van_jax.interop.assignment import arrays, assign
from van_jax.interop.names import state_dicts


def describe(
  path: str | os.PathLike[str],
  container: str,
  weights: state_dicts.StateDict,
  assignment: assign.Assignment,
) -> dict[str, Any]:
  """Returns where the weights come from, as plain JSON values.

  Args:
    path: of the file.
    container: of the file.
    weights: in the file.
    assignment: of the weights; the file is open.
  """
  with open(path, "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  dtypes = collections.Counter(
    assignment.tensors[entry.key].dtype for entry in assignment.entries.values()
  )
  return {
    "file": os.path.basename(path),
    "bytes": os.path.getsize(path),
    "sha256": digest,
    "format": weights.dialect.table.name,
    "container": container,
    "place": weights.place,
    "averaged": weights.place in state_dicts.AVERAGED,
    "variant": models.variant_name(assignment.model),
    "arrays": len(assignment.entries),
    "dtypes": dict(dtypes),
    "dropped": assignment.dropped,
    "batches_seen": arrays.batches_seen(assignment),
  }


def warnings(source: Mapping[str, Any], averages: str) -> Iterator[str]:
  """Yields what a user could overlook.

  Args:
    source: of `describe`, with "non_finite": the paths of such arrays.
    averages: where the file has averaged weights; "" for nowhere.
  """
  others = {k: n for k, n in source["dtypes"].items() if k != "float32"}
  if others:
    listed = ", ".join(f"{n} arrays of {kind}" for kind, n in others.items())
    yield f"converted to float32: {listed}"
  if "float64" in others:
    yield "float64 does not fit into float32: it was rounded"
  if dropped := source["dropped"]:
    listed = ", ".join(f"{part} ({n} arrays)" for part, n in dropped.items())
    yield f"only the backbone is converted; left out: {listed}"
  if averages and not source["averaged"]:
    yield f"the file also has averaged weights, {averages}: --averaged"
  if bad := source["non_finite"]:
    listed = ", ".join(bad[:5])
    yield (
      f"NaN or infinite weights in {len(bad)} arrays ({listed}); the logits "
      "will not be numbers"
    )
