"""Finds the weights inside what a file holds, and says whose they are."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from van_jax import errors
from van_jax.interop.names import key_tables, keys, prefixes
from van_jax.interop.readers import excerpts, tensors
from van_jax.interop.readers.pickle_values import Unknown

# Where programs keep their weights, the plain ones and the averaged ones.
PLAIN = ("state_dict", "model", "model_state_dict")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict")
# Programs that swap the two when they save: the averages under the name of the
# plain ones, and what tells it. mmengine's EMAHook, and Lightning's
# WeightAveraging.
_SWAPPED = (
  ("state_dict", "ema_state_dict", ("ema_state_dict", "steps")),
  ("state_dict", "current_model_state", ("averaging_state", "n_averaged")),
)
_MOST_PLACES = 20  # That are looked at, beside those above.
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
    tensors: by key, as the file has them but for what `prefixes` takes off.
    place: where they are in the file; "" for its top.
    dialect: whose names these are.
    outer: what stood before the names.
    averaged: whether they are a moving average.
    others: where the file has averaged weights, if these are the plain ones,
      and plain ones if these are the averages; "" for nowhere.
    dropped: how many tensors of other parts of the file are left out.
  """

  tensors: dict[str, tensors.Tensor]
  place: str
  dialect: keys.Dialect
  outer: str
  averaged: bool
  others: str
  dropped: dict[str, int]


def find(tree: Any, *, averaged: bool | None = None) -> StateDict:
  """Finds the weights in a file's tree.

  Args:
    tree: of `weight_files.Contents`.
    averaged: take the moving average of the weights, or do not; None for what
      the program that wrote the file would load.

  Raises:
    UserError: if there are no such weights, or they are not VAN's.
  """
  _check_tree(tree)
  place, is_average, others = _place(tree, averaged)
  container = tree[place] if place else tree
  _check_known(container, place)
  named = prefixes.unwrapped(_values(container))
  found = {k: v for k, v in named.items() if isinstance(v, tensors.Tensor)}
  whose = prefixes.find(found)
  if whose is None:
    raise errors.UserError(
      f"these are not VAN's weights: the keys are "
      f"{excerpts.listed(found or tree)}; those known here are {_KNOWN}."
    )
  outer, dialect = whose.outer, whose.dialect
  inside = {
    key.removeprefix(outer): value
    for key, value in found.items()
    if key.startswith(outer)
  }
  _check_rebuilt(named, outer, dialect)
  if dialect.table == key_tables.PADDLECLAS:  # It has no other bfloat16.
    inside = {
      key: tensors.as_bfloat16(value) if value.dtype == "uint16" else value
      for key, value in inside.items()
    }
  dropped = prefixes.parts(k for k in found if not k.startswith(outer))
  return StateDict(inside, place, dialect, outer, is_average, others, dropped)


def _place(
  tree: Mapping[Any, Any], averaged: bool | None
) -> tuple[str, bool, str]:
  """Returns where the weights are, if averaged, and where the others are."""
  plain, average = _first(tree, PLAIN), _first(tree, AVERAGED)
  if not plain and not _values(tree):
    plain = _elsewhere(tree)
  swapped = False
  for average_there, plain_there, (place, sign) in _SWAPPED:
    if _first(tree, (average_there,)) and _first(tree, (plain_there,)):
      signs = tree.get(place)
      if isinstance(signs, dict) and sign in signs:
        plain, average, swapped = plain_there, average_there, True
  bare = tree[plain] if plain else tree
  if isinstance(bare, dict) and "n_averaged" in bare:  # torch's AveragedModel.
    if averaged is False:
      raise errors.UserError(
        "the file has the moving average of the weights alone (n_averaged), "
        "not the weights; leave --noaveraged out."
      )
    return plain, True, ""
  if averaged and not average:
    raise errors.UserError(
      f"the file has no averaged weights, under none of {', '.join(AVERAGED)}; "
      f"it has {excerpts.listed(tree)}."
    )
  if averaged or (averaged is None and swapped):
    return average, True, plain
  return plain, False, average


def _first(tree: Mapping[Any, Any], places: tuple[str, ...]) -> str:
  """Returns the first of some places with weights, or with what hides them."""
  there = {place: tree.get(place) for place in places}
  for place, found in there.items():
    if isinstance(found, dict) and _values(found):
      return place
  hidden = (p for p, found in there.items() if isinstance(found, Unknown))
  return next(hidden, "")


def _elsewhere(tree: Mapping[Any, Any]) -> str:
  """Returns the one other place where a file has VAN's weights; "" if none."""
  candidates = {
    place: values
    for place, found in tree.items()
    if isinstance(place, str)
    and place not in AVERAGED
    and isinstance(found, dict)
    and (values := _values(found))
  }
  if len(candidates) > _MOST_PLACES:
    return ""
  places = [
    place
    for place, values in candidates.items()
    if prefixes.find(prefixes.unwrapped(values))
  ]
  return places[0] if len(places) == 1 else ""


def _check_tree(tree: Any) -> None:
  if isinstance(tree, Unknown):
    _check_known(tree, "")
  if not isinstance(tree, dict):
    raise errors.UserError(
      f"the file holds {excerpts.kind(tree)}, not weights by name; save the "
      "model's state_dict."
    )


def _check_known(container: Any, place: str) -> None:
  """Raises UserError for weights in an object that is not rebuilt."""
  if not isinstance(container, Unknown):
    return
  name, where = excerpts.excerpt(container.name), f'["{place}"]' * bool(place)
  what = f"its {place}" if place else "the file"
  load = f'torch.load("FILE", weights_only=False){where}'
  if name.endswith(".state_dict"):
    raise errors.UserError(
      f"{what} is the method state_dict of a model, not the weights that it "
      "returns: the parentheses are missing. This makes a good one: "
      'torch.save(model.state_dict(), "weights.pth").'
    )
  if container.is_module:
    raise errors.UserError(
      f"{what} is a whole model, a {name}, and not its weights; where its code "
      "can be imported, and if you trust the file, this makes a good one: "
      f'torch.save({load}.state_dict(), "weights.pth").'
    )
  raise errors.UserError(
    f"{what} is a {name}, which is not rebuilt; where its code can be "
    "imported, and if you trust the file, this makes a good one: "
    f'torch.save(dict({load}), "weights.pth").'
  )


def _check_rebuilt(
  named: Mapping[str, Any], outer: str, dialect: keys.Dialect
) -> None:
  """Raises UserError for weights of a class that is not rebuilt."""
  unknown = {
    key.removeprefix(outer): value
    for key, value in named.items()
    if isinstance(value, Unknown) and key.startswith(outer)
  }
  if weights := keys.entries_of_keys(unknown, dialect):
    key = next(iter(weights))
    raise errors.UserError(
      f"{outer}{key} and {len(weights) - 1} more of its weights are of the "
      f"class {excerpts.excerpt(unknown[key].name)}, which is not rebuilt; "
      "save a state_dict of plain tensors."
    )


def _values(tree: Mapping[Any, Any]) -> dict[str, Any]:
  """Returns a dict's values; Paddle also pairs a name with each."""
  found = {}
  for key, value in tree.items():
    if isinstance(value, tuple) and len(value) == 2:
      value = value[1]
    if isinstance(key, str) and isinstance(value, tensors.Tensor | Unknown):
      found[key] = value
  return found
