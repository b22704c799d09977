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
  new, old = _flat(fresh), _flat(pretrained)

  def fits(name):
    return name in new and name in old and new[name].shape == old[name].shape

  head = {name for name in new.keys() | old.keys() if name.startswith(_HEAD)}
  keep_head = all(fits(name) for name in head)
  misfits = [
    f"{name}: bundle {_shape(old, name)}, config {_shape(new, name)}"
    for name in sorted((new.keys() | old.keys()) - head)
    if not fits(name)
  ]
  if misfits:
    more = f" and {len(misfits) - _LISTED} more" * (len(misfits) > _LISTED)
    raise ValueError(
      "The pretrained bundle does not fit config.model: "
      f"{'; '.join(misfits[:_LISTED])}{more}. Set config.model to the "
      "bundle's architecture."
    )
  if not keep_head:
    logging.info("The head is initialised anew: its class count differs.")
  merged = {
    name: old[name] if name not in head or keep_head else value
    for name, value in new.items()
  }
  return traverse_util.unflatten_dict(merged, sep="/")


def _flat(tree: Any) -> dict[str, Any]:
  return dict(traverse_util.flatten_dict(tree, sep="/"))


def _shape(flat: Mapping[str, Any], name: str) -> Any:
  return tuple(flat[name].shape) if name in flat else "none"
