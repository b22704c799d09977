"""Puts a file's tensors into our tree, or ours into a file's: all or none."""

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from van_jax import models
from van_jax.interop.facts import architecture as shapes
from van_jax.interop.names import state_dicts, translate as keys
from van_jax.interop.readers import tensors

_LISTED = 20  # Misfits that one error spells out.
_FLOATS = ("float32", "float16", "bfloat16", "float64")


@dataclasses.dataclass(frozen=True)
class Plan:
  """Which tensor goes where; everything has been checked but the numbers.

  Attributes:
    model: that the weights are for.
    entries: by our path, every array of the model.
    tensors: by foreign key.
    dropped: how many tensors of each other part of the file are left out,
      such as {"decode_head": 12}.
  """

  model: models.VAN
  entries: dict[str, keys.Entry]
  tensors: Mapping[str, tensors.Tensor]
  dropped: dict[str, int]


def plan(weights: state_dicts.StateDict) -> Plan:
  """Matches every tensor with an array of the model that they describe.

  Raises:
    ValueError: with all tensors without a place, arrays without a tensor, and
      shapes and types that differ.
  """
  dialect = weights.dialect
  dropped = _other_parts(weights)
  kept = {
    key: tensor
    for key, tensor in weights.tensors.items()
    if _part(key) not in dropped and not keys.is_ignored(key, dialect)
  }
  found = keys.entries_of_keys(kept, dialect)
  model = models.from_architecture(
    shapes.architecture(
      {entry: kept[key].shape for key, entry in found.items()},
      layer_norm_epsilon=dialect.table.layer_norm_epsilon,
    )
  )
  wanted = wanted_shapes(model)
  entries = {path: keys.entry_of_path(path, dialect) for path in wanted}
  counters = set(keys.counters(entries.values(), dialect))
  used = {entry.key for entry in entries.values()}
  unknown = [key for key in kept if key not in used | counters]
  missing = [path for path, entry in entries.items() if entry.key not in kept]
  unequal = _unequal(entries, kept, wanted)
  if misfits := len(unknown) + len(missing) + len(unequal):
    listed = _unknown(unknown, [entries[path].key for path in missing])
    listed += _missing(missing, entries, unknown)
    listed += unequal[:_LISTED]
    raise ValueError(_error(listed[:_LISTED], misfits, weights, model))
  return Plan(model, entries, kept, dropped)


def check_bytes(plan: Plan, file_bytes: int) -> None:
  """Raises ValueError when the arrays hold more numbers than the file does.

  A small file could ask for any amount of memory by naming one storage often.
  """
  used = [plan.tensors[entry.key] for entry in plan.entries.values()]
  total = sum(math.prod(t.shape) * tensors.item_size(t.dtype) for t in used)
  if total > file_bytes:
    raise ValueError(
      f"its arrays take {total} bytes and the file has {file_bytes}: they "
      "share numbers, as no VAN's do; save a state_dict without sharing."
    )


def non_finite(variables: Mapping[str, Any]) -> list[str]:
  """Returns the paths of arrays that have NaN or infinity in them."""
  flat: dict[str, Any] = traverse_util.flatten_dict(dict(variables), sep="/")
  return [path for path in flat if not np.isfinite(flat[path]).all()]


def batches_seen(plan: Plan) -> int:
  """Returns what torch's counters of batches say, where they agree; else 0."""
  counts = {
    int(tensor.read())
    for key, tensor in plan.tensors.items()
    if keys.is_counter(key) and (tensor.shape, tensor.dtype) == ((), "int64")
  }
  return counts.pop() if len(counts) == 1 else 0


def wanted_shapes(model: models.VAN) -> dict[str, tuple[int, ...]]:
  """Returns {path: shape} of a model's arrays."""
  plain = model.clone(implementation="xla")  # Traced soonest.
  leaves = jax.eval_shape(
    lambda: plain.init(
      jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False
    )
  )
  flat: dict[str, Any] = traverse_util.flatten_dict(leaves, sep="/")
  return {path: leaf.shape for path, leaf in flat.items()}


def read(
  plan: Plan, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
  """Returns the model's variables, float32, read one by one.

  Args:
    plan: whose tensors' file is open.
    progress: is told how many of how many arrays are read.
  """
  variables = {}
  for done, (path, entry) in enumerate(plan.entries.items(), start=1):
    numbers = entry.array.layout.here(plan.tensors[entry.key].read())
    variables[path] = np.array(numbers, np.float32, order="C")
    progress(done, len(plan.entries))
  return traverse_util.unflatten_dict(variables, sep="/")


def write(
  variables: Mapping[str, Any], dialect: keys.Dialect, *, count: int
) -> dict[str, np.ndarray]:
  """Returns the variables under another project's names, in its layout.

  Args:
    variables: of a VAN.
    dialect: whose names to use.
    count: what torch's counters of BatchNorm's batches say.

  Raises:
    ValueError: if the format has no name for an array.
  """
  flat: dict[str, Any] = traverse_util.flatten_dict(dict(variables), sep="/")
  entries = {path: keys.entry_of_path(path, dialect) for path in flat}
  arrays = {
    entry.key: np.array(
      entry.array.layout.there(np.asarray(flat[path])), order="C"
    )
    for path, entry in entries.items()
  }
  for key in keys.counters(entries.values(), dialect):
    arrays[key] = np.array(count, np.int64)
  return arrays


def _part(key: str) -> str:
  return key.partition(".")[0]


def _other_parts(weights: state_dicts.StateDict) -> dict[str, int]:
  """Returns the parts of a detector or segmentor that are not its backbone.

  Only where there is a backbone and no classifier's head: a classifier's file
  has to be used whole.
  """
  dialect = weights.dialect
  found = keys.entries_of_keys(weights.tensors, dialect).values()
  if not dialect.prefix or any(not entry.stage for entry in found):
    return {}
  parts: dict[str, int] = {}
  for key in weights.tensors:
    if not key.startswith(dialect.prefix) and not keys.is_ignored(key, dialect):
      parts[_part(key)] = parts.get(_part(key), 0) + 1
  return parts


def _unknown(unknown: list[str], missing: list[str]) -> list[str]:
  return [
    f"{key} in the file has no place{_nearest(key, missing)}"
    for key in unknown[:_LISTED]
  ]


def _missing(
  missing: list[str], entries: Mapping[str, keys.Entry], unknown: list[str]
) -> list[str]:
  return [
    f"{entries[path].key} (our {path}) is not in the file"
    f"{_nearest(entries[path].key, unknown)}"
    for path in missing[:_LISTED]
  ]


def _unequal(
  entries: Mapping[str, keys.Entry],
  found: Mapping[str, tensors.Tensor],
  wanted: Mapping[str, tuple[int, ...]],
) -> list[str]:
  misfits = []
  for path, entry in entries.items():
    if (tensor := found.get(entry.key)) is None:
      continue
    shape = entry.array.layout.shape_there(wanted[path])
    if tensor.shape != shape:
      misfits.append(
        f"{entry.key} has the shape {tensor.shape}, the model wants {shape}"
      )
    elif tensor.dtype not in _FLOATS:
      misfits.append(f"{entry.key} has the type {tensor.dtype}, not a float")
  return misfits


def _nearest(name: str, names: Iterable[str]) -> str:
  close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
  return f" (nearest: {close[0]})" if close else ""


def _error(
  listed: list[str],
  misfits: int,
  weights: state_dicts.StateDict,
  model: models.VAN,
) -> str:
  more = misfits - len(listed)
  return (
    f"the weights, {weights.dialect.table.name} by their names, do not fit the "
    f"VAN that they describe (widths {model.widths}, depths {model.depths}):"
    "\n  " + "\n  ".join(listed) + (f"\n  and {more} more" if more > 0 else "")
  )
