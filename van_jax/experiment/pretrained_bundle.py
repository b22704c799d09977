"""What fine-tuning takes of a bundle: a VAN's weights, and a segmenter's heads.

A head is taken if the config's is the same, by name and fields; which of its
layers fit, `training.recipe.pretrained` says.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from absl import logging

from van_jax import bundle as bundle_lib, imports, models, storage
from van_jax.bundle import description
from van_jax.experiment import model_check, section_table, sections
from van_jax.experiment.sections import Config

_PARTS = {"head": "decode_head", "auxiliary": "auxiliary_head"}
_FREE = "dropout_rate"  # No weight depends on it.


def load(config: Config, path: str) -> bundle_lib.Bundle:
  """Returns a bundle with the variables that a config's model may take.

  Args:
    config: of the run.
    path: of the bundle, on disk.

  Raises:
    UserError: as `load_bundle`.
  """
  theirs = description.read(storage.absolute(path))["architecture"]
  strangers = model_check.strangers(config)
  attention = strangers.get("attention")
  if "backbone" not in theirs:
    return bundle_lib.load_bundle(path, attention=attention)
  if not section_table.has_masks(config):
    return bundle_lib.load_backbone(path, attention=attention)
  ours = models.architecture(sections.build(config, "model"))
  handed = {}
  for field in _PARTS:
    name = _name(theirs[field])
    if imports.is_path(name):
      if name != _name(ours[field]):  # No class to load it with.
        _log_other(config, field, name, _name(ours[field]))
        return bundle_lib.load_backbone(path, attention=attention)
      handed[field] = strangers[field]
  bundle = bundle_lib.load_bundle(path, attention=attention, **handed)
  return _with_same_heads(config, bundle, ours)


def _with_same_heads(
  config: Config, bundle: bundle_lib.Bundle, ours: Mapping[str, Any]
) -> bundle_lib.Bundle:
  """Returns the bundle with the variables of other heads left out."""
  theirs = models.architecture(bundle.model)
  dropped = []
  for field, part in _PARTS.items():
    if _fields(theirs[field]) != _fields(ours[field]):
      dropped.append(part)
      _log_other(config, field, theirs[field], ours[field])
  variables = {
    collection: {k: v for k, v in tree.items() if k not in dropped}
    for collection, tree in bundle.variables.items()
  }
  return dataclasses.replace(bundle, variables=variables)


def _log_other(config: Config, field: str, theirs: Any, ours: Any) -> None:
  logging.info(
    "pretrained_bundle=%s: model.%s is %s there and %s here, and is not taken.",
    config.pretrained_bundle,
    field,
    theirs,
    ours,
  )


def _name(head: Mapping[str, Any] | None) -> str:
  return head["name"] if head else ""


def _fields(head: Mapping[str, Any] | None) -> dict[str, Any]:
  return {k: v for k, v in (head or {}).items() if k != _FREE}
