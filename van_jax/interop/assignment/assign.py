"""Assigns each tensor of a file to an array of the model they describe."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from flax import traverse_util

from van_jax import errors, models
from van_jax.interop.facts import shapes
from van_jax.interop.names import keys, prefixes, state_dicts
from van_jax.interop.readers import excerpts, tensors

_LISTED = 20  # Misfits that one error spells out.
_COMPARED = 200  # Characters, and names, that the nearest is looked for in.
_FLOATS = ("float32", "float16", "bfloat16", "float64")


@dataclasses.dataclass(frozen=True)
class Assignment:
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


def assign(
  weights: state_dicts.StateDict, *, layer_norm_epsilon: float | None = None
) -> Assignment:
  """Matches every tensor with an array of the model that they describe.

  Args:
    weights: of a file.
    layer_norm_epsilon: of the stage norms; None for the format's.

  Raises:
    UserError: with all tensors without a place, arrays without a tensor, and
      shapes and types that differ.
  """
  dialect = weights.dialect
  dropped = _other_parts(weights)
  kept = {
    key: tensor
    for key, tensor in weights.tensors.items()
    if prefixes.part(key) not in dropped and not keys.is_ignored(key, dialect)
  }
  found = keys.entries_of_keys(kept, dialect)
  model = models.from_architecture(
    shapes.architecture(
      {entry: kept[key].shape for key, entry in found.items()},
      layer_norm_epsilon=(
        dialect.table.layer_norm_epsilon
        if layer_norm_epsilon is None
        else layer_norm_epsilon
      ),
    )
  )
  wanted = _shapes(model)
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
    raise errors.UserError(_error(listed[:_LISTED], misfits, weights, model))
  return Assignment(model, entries, kept, weights.dropped | dropped)


def _shapes(model: models.VAN) -> dict[str, tuple[int, ...]]:
  """Returns {path: shape} of a model's arrays."""
  leaves = models.variable_shapes(model)
  flat: dict[str, Any] = traverse_util.flatten_dict(leaves, sep="/")
  return {path: leaf.shape for path, leaf in flat.items()}


def _other_parts(weights: state_dicts.StateDict) -> dict[str, int]:
  """Returns the parts of a detector or segmentor that are not its backbone.

  Only where there is a backbone and no classifier's head: a classifier's file
  has to be used whole.
  """
  dialect = weights.dialect
  found = keys.entries_of_keys(weights.tensors, dialect).values()
  if not dialect.prefix or any(not entry.stage for entry in found):
    return {}
  return prefixes.parts(
    key
    for key in weights.tensors
    if not key.startswith(dialect.prefix) and not keys.is_ignored(key, dialect)
  )


def _unknown(unknown: list[str], missing: list[str]) -> list[str]:
  return [
    f"{excerpts.excerpt(key)} in the file has no place{_nearest(key, missing)}"
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
      misfits.append(
        f"{entry.key} has the type {excerpts.excerpt(tensor.dtype)}, not a "
        "float"
      )
  return misfits


def _nearest(name: str, names: Iterable[str]) -> str:
  near = [other[:_COMPARED] for other in names][:_COMPARED]
  close = difflib.get_close_matches(name[:_COMPARED], near, n=1, cutoff=0.6)
  return f" (nearest: {excerpts.excerpt(close[0])})" if close else ""


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
