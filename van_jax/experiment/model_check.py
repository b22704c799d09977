"""Whether weights are of the model that a config describes."""

from collections.abc import Mapping
from typing import Any

from van_jax import errors, imports, models
from van_jax.cli import dotted_keys
from van_jax.experiment import sections
from van_jax.experiment.sections import Config

_CHOSEN = ("attention", "head", "auxiliary")  # Modules that a config names.
_COMPARED = ("widths", "depths", "ffn_ratios", "num_classes")


def strangers(config: Config) -> dict[str, type]:
  """Returns the classes of a stranger's modules that the config names.

  Loading weights imports nothing that a file names; what the user's own
  config names is handed over.

  Returns:
    classes by field: "attention", and of a segmenter "head" and "auxiliary".
  """
  found = {}
  for field in _CHOSEN:
    key = f"model.{field}.name"
    name = dotted_keys.get(config, key) if dotted_keys.has(config, key) else ""
    if imports.is_path(name):
      found[field] = imports.load(name, f"config.{key}")
  return found


def check_same(config: Config, checkpoint: str, model: Any) -> None:
  """Raises UserError when a checkpoint holds another network.

  Args:
    config: of who scores.
    checkpoint: as the user named it.
    model: of its weights.
  """
  theirs = _flat(models.architecture(model))
  ours = _flat(models.architecture(sections.build(config, "model")))
  misfits = [
    f"{name} {theirs[name]} there, {ours[name]} here"
    for name in _COMPARED
    if theirs[name] != ours[name]
  ]
  for field in _CHOSEN:
    there = theirs.get(field) or {}
    misfits += [
      f"{field}.{name} {there.get(name)} there, {value} here"
      for name, value in _insisted(config, field, ours.get(field)).items()
      if there.get(name) != value
    ]
  if misfits:
    raise errors.UserError(
      f"checkpoint={checkpoint} is of another architecture than config.model "
      f"({config.model.name}): {'; '.join(misfits)}. Name the config that "
      "belongs to it."
    )


def _flat(architecture: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a segmenter's fields beside its backbone's; a VAN's as they are."""
  return {**architecture.get("backbone", {}), **architecture}


def _insisted(
  config: Config, field: str, ours: Mapping[str, Any] | None
) -> dict[str, Any]:
  """Returns the name and fields of a module that a config insists on.

  A mere "lka", the default, insists on nothing, and neither does an auxiliary
  head, which scores nothing. A stranger's class has been compared when it was
  handed over.

  Args:
    config: of who scores.
    field: of the model.
    ours: name and all fields, as the config makes them.
  """
  if field == "auxiliary" or ours is None:
    return {}
  given = config.model[field].to_dict()
  if field == "attention" and given == {"name": "lka"}:
    return {}
  return {
    name: ours[name]
    for name in given
    if name != "name" or not imports.is_path(given["name"])
  }
