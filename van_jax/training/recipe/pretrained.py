"""Fine-tuning's start: pretrained weights laid over fresh ones."""

from collections.abc import Mapping
from typing import Any

from absl import logging
from flax import traverse_util

from van_jax import errors
from van_jax.training.recipe import van_prefixes

_LISTED = 8  # Misfits that one error spells out.


def merge(
  fresh: Mapping[str, Any],
  pretrained: Mapping[str, Any],
  *,
  head_scale: float = 1.0,
) -> dict[str, Any]:
  """Returns the pretrained variables, with a fresh head if theirs differs.

  Where the VAN is a part of the model, below a prefix such as "backbone/",
  they are laid over it there, and all else stays fresh.

  Args:
    fresh: `{"params": ..., "batch_stats": ...}` as initialised.
    pretrained: the same from a bundle, a VAN's; its head may be absent, or of
      another number of classes, and nothing else may differ.
    head_scale: of the fresh head's weights. Near 0 its first gradients leave
      the others as they are (ConvNeXt's fine-tuning, arXiv 2201.03545: 0.001).

  Raises:
    UserError: listing the arrays that do not fit.
  """
  check(fresh, pretrained)
  prefix = _prefix(fresh)
  new, old = _flat(fresh), _below(prefix, pretrained)
  head = _name("params", prefix, "head/")
  keep_head = not any(n.startswith(head) for n in _misfits(new, old, prefix))
  if not keep_head:
    logging.info(
      "The head is initialised anew: the weights have none of its shape."
    )
  merged = {}
  for name, value in new.items():
    if name.startswith(head) and not keep_head:
      merged[name] = head_scale * value
    else:
      merged[name] = old[name] if _is_in(prefix, name) else value
  return traverse_util.unflatten_dict(merged, sep="/")


def check(fresh: Mapping[str, Any], pretrained: Mapping[str, Any]) -> None:
  """Raises the UserError of `merge`; shapes are enough for it."""
  prefix = _prefix(fresh)
  new, old = _flat(fresh), _below(prefix, pretrained)
  misfits = [
    f"{name}: weights {_shape(old, name)}, model {_shape(new, name)}"
    for name in _misfits(new, old, prefix)
    if not name.startswith(_name("params", prefix, "head/"))
  ]
  if misfits:
    more = f" and {len(misfits) - _LISTED} more" * (len(misfits) > _LISTED)
    raise errors.UserError(
      "The pretrained weights do not fit the model: "
      f"{'; '.join(misfits[:_LISTED])}{more}. Give the model the weights' "
      "architecture (a run's is config.model)."
    )


def _prefix(fresh: Mapping[str, Any]) -> str:
  """Returns where the model's VAN is; "" for one that is nothing else."""
  prefixes = van_prefixes.find(fresh["params"])
  if len(prefixes) > 1:
    raise errors.UserError(
      f"The model has {len(prefixes)} VANs, {', '.join(prefixes)}, and "
      "pretrained_bundle must be for one; lay their weights over the model's "
      "in a program of your own."
    )
  return prefixes[0] if prefixes else ""


def _misfits(
  new: Mapping[str, Any], old: Mapping[str, Any], prefix: str
) -> list[str]:
  """Returns a VAN's names that are not in both, or not of one shape."""
  names = sorted({*(n for n in new if _is_in(prefix, n)), *old})
  return [name for name in names if _shape(new, name) != _shape(old, name)]


def _is_in(prefix: str, name: str) -> bool:
  """Returns whether "COLLECTION/PATH" is a VAN's at a prefix."""
  return name.partition("/")[2].startswith(prefix)


def _below(prefix: str, van: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a VAN's flat variables, by their names in the whole model."""
  parts = ((name.partition("/"), value) for name, value in _flat(van).items())
  return {_name(p[0], prefix, p[2]): value for p, value in parts}


def _name(collection: str, prefix: str, path: str) -> str:
  return f"{collection}/{prefix}{path}"


def _flat(tree: Any) -> dict[str, Any]:
  return dict(traverse_util.flatten_dict(tree, sep="/"))


def _shape(flat: Mapping[str, Any], name: str) -> Any:
  return tuple(flat[name].shape) if name in flat else "none"
