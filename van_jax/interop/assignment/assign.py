"""Assigns each tensor of a file to an array of the model they describe."""

import dataclasses
import difflib
import functools
from collections.abc import Iterable, Mapping
from typing import Any

from flax import traverse_util

from van_jax import errors, models
from van_jax.interop.facts import heads as head_facts, shapes
from van_jax.interop.names import keys, prefixes, segmenters, state_dicts
from van_jax.interop.readers import excerpts, tensors

_LISTED = 20  # Misfits that one error spells out.
_COMPARED = 200  # Characters, and names, that the nearest is looked for in.
_FLOATS = ("float32", "float16", "bfloat16", "float64")


@dataclasses.dataclass(frozen=True)
class Assignment:
  """Which tensor goes where; everything has been checked but the numbers.

  Attributes:
    model: that the weights are for, a VAN or a Segmenter.
    entries: by our path, every array of the model.
    tensors: by foreign key.
    dropped: how many tensors of each other part of the file are left out,
      such as {"bbox_head": 12}.
  """

  model: Any
  entries: dict[str, keys.Entry]
  tensors: Mapping[str, tensors.Tensor]
  dropped: dict[str, int]


def assign(
  weights: state_dicts.StateDict,
  *,
  layer_norm_epsilon: float | None = None,
  backbone_only: bool = False,
  config: str = "",
) -> Assignment:
  """Matches every tensor with an array of the model that they describe.

  Args:
    weights: of a file.
    layer_norm_epsilon: of the stage norms; None for the format's.
    backbone_only: leave the heads of a segmenter out.
    config: of the training, as text; "" for none.

  Raises:
    UserError: with all tensors without a place, arrays without a tensor, and
      shapes and types that differ.
  """
  dialect = weights.dialect
  parts = _other_parts(weights)
  heads = {
    part: count
    for part, count in parts.items()
    if part in segmenters.PARTS
    and segmenters.DECODE in parts
    and not backbone_only
  }
  dropped = {part: n for part, n in parts.items() if part not in heads}
  kept = {
    key: tensor
    for key, tensor in weights.tensors.items()
    if prefixes.part(key) not in dropped and not keys.is_ignored(key, dialect)
  }
  model: Any = models.from_architecture(
    shapes.architecture(
      _shapes_there(kept, dialect),
      layer_norm_epsilon=(
        dialect.table.layer_norm_epsilon
        if layer_norm_epsilon is None
        else layer_norm_epsilon
      ),
    )
  )
  entry_of_path = functools.partial(keys.entry_of_path, dialect=dialect)
  if heads:
    there = _shapes_there(kept, segmenters.HEADS)
    fields = head_facts.architecture(there, widths=model.widths, config=config)
    model = models.Segmenter(model, **fields)
    entry_of_path = functools.partial(
      segmenters.entry_of_path, backbone=dialect
    )
  wanted = _shapes(model)
  entries = {path: entry_of_path(path) for path in wanted}
  _check_fit(weights, model, kept, entries, wanted)
  return Assignment(model, entries, kept, weights.dropped | dropped)


def _shapes_there(
  kept: Mapping[str, tensors.Tensor], dialect: keys.Dialect
) -> dict[keys.Entry, tuple[int, ...]]:
  """Returns the shapes of what has a name in a dialect, as the file has it."""
  found = keys.entries_of_keys(kept, dialect)
  return {entry: kept[key].shape for key, entry in found.items()}


def _check_fit(
  weights: state_dicts.StateDict,
  model: models.VAN | models.Segmenter,
  kept: Mapping[str, tensors.Tensor],
  entries: Mapping[str, keys.Entry],
  wanted: Mapping[str, tuple[int, ...]],
) -> None:
  """Raises UserError unless tensors and arrays are one to one."""
  counters = set(keys.counters(entries.values()))
  used = {entry.key for entry in entries.values()}
  unknown = [key for key in kept if key not in used | counters]
  missing = [path for path, entry in entries.items() if entry.key not in kept]
  unequal = _unequal(entries, kept, wanted)
  if misfits := len(unknown) + len(missing) + len(unequal):
    listed = _unknown(unknown, [entries[path].key for path in missing])
    listed += _missing(missing, entries, unknown)
    listed += unequal[:_LISTED]
    raise errors.UserError(_error(listed[:_LISTED], misfits, weights, model))


def _shapes(model: models.VAN | models.Segmenter) -> dict[str, tuple[int, ...]]:
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
  model: models.VAN | models.Segmenter,
) -> str:
  more = misfits - len(listed)
  van, what, remedy = model, "VAN", ""
  if isinstance(model, models.Segmenter):
    van, what = model.backbone, f"segmenter with the head {model.head['name']}"
    remedy = "\n--backbone_only (backbone_only=True) leaves the heads out"
  return (
    f"the weights, {weights.dialect.table.name} by their names, do not fit the "
    f"{what} that they describe (widths {van.widths}, depths {van.depths}):"
    "\n  "
    + "\n  ".join(listed)
    + (f"\n  and {more} more" if more > 0 else "")
    + remedy
  )
