"""Fine-tuning's start: pretrained weights laid over fresh ones."""

from collections.abc import Mapping
from typing import Any

from absl import logging
from flax import traverse_util

_HEAD = "params/head/"
_LISTED = 8  # Misfits that one error spells out.


def merge(
  fresh: Mapping[str, Any], pretrained: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns the pretrained variables, with a fresh head if theirs differs.

  Args:
    fresh: `{"params": ..., "batch_stats": ...}` as initialised.
    pretrained: the same from a bundle; its head may be absent, or of another
      number of classes, and nothing else may differ.

  Raises:
    ValueError: listing the arrays that do not fit.
  """
  check(fresh, pretrained)
  new, old = _flat(fresh), _flat(pretrained)
  keep_head = not any(name.startswith(_HEAD) for name in _misfits(new, old))
  if not keep_head:
    logging.info("The head is initialised anew: its class count differs.")
  merged = {
    name: old[name] if keep_head or not name.startswith(_HEAD) else value
    for name, value in new.items()
  }
  return traverse_util.unflatten_dict(merged, sep="/")


def check(fresh: Mapping[str, Any], pretrained: Mapping[str, Any]) -> None:
  """Raises the ValueError of `merge`; shapes are enough for it."""
  new, old = _flat(fresh), _flat(pretrained)
  misfits = [
    f"{name}: bundle {_shape(old, name)}, config {_shape(new, name)}"
    for name in _misfits(new, old)
    if not name.startswith(_HEAD)
  ]
  if misfits:
    more = f" and {len(misfits) - _LISTED} more" * (len(misfits) > _LISTED)
    raise ValueError(
      "The pretrained bundle does not fit config.model: "
      f"{'; '.join(misfits[:_LISTED])}{more}. Set config.model to the "
      "bundle's architecture."
    )


def _misfits(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
  """Returns the names that are not in both, or not of one shape."""
  names = sorted(new.keys() | old.keys())
  return [name for name in names if _shape(new, name) != _shape(old, name)]


def _flat(tree: Any) -> dict[str, Any]:
  return dict(traverse_util.flatten_dict(tree, sep="/"))


def _shape(flat: Mapping[str, Any], name: str) -> Any:
  return tuple(flat[name].shape) if name in flat else "none"
