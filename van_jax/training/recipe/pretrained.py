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
  they are laid over it there. Of what is beside it, a segmenter's heads, each
  layer is taken that the weights have in the same shapes, and all else stays
  fresh: the convolution that gives the classes, where there are others.

  Args:
    fresh: `{"params": ..., "batch_stats": ...}` as initialised.
    pretrained: the same from a bundle, of a VAN, or of a model with one inside
      and such heads as may be taken; a VAN's head may be absent, or of another
      number of classes, and nothing else of it may differ.
    head_scale: of a VAN's fresh head's weights. Near 0 its first gradients
      leave the others as they are (ConvNeXt's fine-tuning, arXiv 2201.03545:
      0.001).

  Raises:
    UserError: listing the arrays that do not fit.
  """
  check(fresh, pretrained)
  prefix = _prefix(fresh)
  new, old = _flat(fresh), _laid(prefix, pretrained)
  head = _name("params", prefix, "head/")
  keep_head = not any(n.startswith(head) for n in _misfits(new, old, prefix))
  if not keep_head:
    logging.info(
      "The head is initialised anew: the weights have none of its shape."
    )
  anew = _layers_anew(new, old, prefix)
  merged = {}
  for name, value in new.items():
    if name.startswith(head) and not keep_head:
      merged[name] = head_scale * value
    else:
      merged[name] = value if _layer(name) in anew else old[name]
  return traverse_util.unflatten_dict(merged, sep="/")


def check(fresh: Mapping[str, Any], pretrained: Mapping[str, Any]) -> None:
  """Raises the UserError of `merge`; shapes are enough for it."""
  prefix = _prefix(fresh)
  new, old = _flat(fresh), _laid(prefix, pretrained)
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


def _layers_anew(
  new: Mapping[str, Any], old: Mapping[str, Any], prefix: str
) -> set[str]:
  """Returns the layers beside a VAN that the weights have not; logs which."""
  beside = [name for name in new if not _is_in(prefix, name)]
  anew = {_layer(n) for n in beside if _shape(new, n) != _shape(old, n)}
  if taken := {_layer(name) for name in beside} - anew:
    logging.info(
      "Beside the backbone %d layers are taken; initialised anew: %s%s.",
      len(taken),
      ", ".join(sorted(anew)[:_LISTED]) or "none",
      f" and {len(anew) - _LISTED} more" * (len(anew) > _LISTED),
    )
  elif beside:
    logging.info("The backbone alone is taken; all else is initialised anew.")
  return anew


def _layer(name: str) -> str:
  """Returns the path of the layer that "COLLECTION/PATH/NAME" is of."""
  return name.partition("/")[2].rpartition("/")[0]


def _prefix(variables: Mapping[str, Any], what: str = "model") -> str:
  """Returns where the one VAN is; "" where there is nothing else."""
  prefixes = van_prefixes.find(variables["params"])
  if len(prefixes) > 1:
    raise errors.UserError(
      f"The {what} has {len(prefixes)} VANs, {', '.join(prefixes)}, and "
      "pretrained_bundle must be for one; lay their weights over the model's "
      "in a program of your own."
    )
  return prefixes[0] if prefixes else ""


def _misfits(
  new: Mapping[str, Any], old: Mapping[str, Any], prefix: str
) -> list[str]:
  """Returns a VAN's names that are not in both, or not of one shape."""
  names = sorted(name for name in {*new, *old} if _is_in(prefix, name))
  return [name for name in names if _shape(new, name) != _shape(old, name)]


def _is_in(prefix: str, name: str) -> bool:
  """Returns whether "COLLECTION/PATH" is a VAN's at a prefix."""
  return name.partition("/")[2].startswith(prefix)


def _laid(prefix: str, pretrained: Mapping[str, Any]) -> dict[str, Any]:
  """Returns flat weights, those of their VAN by their names in the model.

  What is beside their VAN keeps its names; none of it is of a model that is
  a VAN and nothing else.
  """
  theirs, laid = _prefix(pretrained, "bundle"), {}
  for name, value in _flat(pretrained).items():
    collection, _, path = name.partition("/")
    if path.startswith(theirs):
      laid[_name(collection, prefix, path.removeprefix(theirs))] = value
    elif prefix:
      laid[name] = value
  return laid


def _name(collection: str, prefix: str, path: str) -> str:
  return f"{collection}/{prefix}{path}"


def _flat(tree: Any) -> dict[str, Any]:
  return dict(traverse_util.flatten_dict(tree, sep="/"))


def _shape(flat: Mapping[str, Any], name: str) -> Any:
  return tuple(flat[name].shape) if name in flat else "none"
