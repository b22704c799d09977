"""Finds the weights inside what a file holds, and says whose they are."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from van_jax import errors
from van_jax.interop.names import keys
from van_jax.interop.readers import tensors

_T = TypeVar("_T")

# Where programs keep their weights, the plain ones and the averaged ones.
PLAIN = ("state_dict", "model", "model_state_dict")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict")
_WRAPPER = "module."  # Of torch's DataParallel and of averaged models.
_KNOWN = (
  "official VAN (patch_embed1.proj.weight), mmpretrain "
  "(backbone.patch_embed1.projection.weight), Hugging Face "
  "(van.encoder.stages.0.embeddings.convolution.weight), PaddleClas "
  "(patch_embed1.norm._mean)"
)


@dataclasses.dataclass(frozen=True)
class StateDict:
  """The weights of one file.

  Attributes:
    tensors: by key, as the file has them but for "module.".
    place: where they are in the file; "" for its top.
    dialect: whose names these are.
    averages: where the file has averaged weights too; "" for nowhere.
  """

  tensors: dict[str, tensors.Tensor]
  place: str
  dialect: keys.Dialect
  averages: str


def find(tree: Any, *, averaged: bool = False) -> StateDict:
  """Finds the weights in a file's tree.

  Args:
    tree: of `weight_files.Contents`.
    averaged: take the moving average of the weights.

  Raises:
    UserError: if there are no such weights, or they are not VAN's.
  """
  if not isinstance(tree, dict):
    raise errors.UserError(
      f"the file holds a {type(tree).__name__}, not weights by name; save the "
      "model's state_dict."
    )
  averages = next((place for place in AVERAGED if _is_dict(tree, place)), "")
  if averaged and not averages:
    raise errors.UserError(
      f"the file has no averaged weights, under none of {', '.join(AVERAGED)}; "
      f"it has {_listed(tree)}."
    )
  plain = next((place for place in PLAIN if _is_dict(tree, place)), "")
  place = averages if averaged else plain
  found = unwrapped(_tensors(tree[place] if place else tree))
  dialect = keys.recognise(found)
  if dialect is None:
    raise errors.UserError(
      f"these are not VAN's weights: the keys are {_listed(found or tree)}; "
      f"those known here are {_KNOWN}."
    )
  return StateDict(found, place, dialect, averages)


def _is_dict(tree: Mapping[str, Any], place: str) -> bool:
  return isinstance(tree.get(place), dict)


def _tensors(tree: Mapping[Any, Any]) -> dict[str, tensors.Tensor]:
  """Returns a dict's tensors; Paddle also pairs a name with each."""
  found = {}
  for key, value in tree.items():
    if isinstance(value, tuple) and len(value) == 2:
      value = value[1]
    if isinstance(value, tensors.Tensor):
      found[str(key)] = value
  return found


def unwrapped(found: Mapping[str, _T]) -> dict[str, _T]:
  """Returns the values without a "module." that all names start with."""
  found = dict(found)
  while found and all(key.startswith(_WRAPPER) for key in found):
    found = {key.removeprefix(_WRAPPER): found[key] for key in found}
  return found


def _listed(names: Mapping[str, Any]) -> str:
  shown = ", ".join(str(name) for name in list(names)[:5])
  return f"{shown}, ..." if len(names) > 5 else shown or "none"
