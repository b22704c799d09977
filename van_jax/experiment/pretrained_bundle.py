"""What fine-tuning takes of a bundle: a VAN's weights, and a segmenter's heads.

A head is taken if the config's is the same, by name and fields; which of its
layers fit, `training.recipe.pretrained` says.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from absl import logging
from flax import traverse_util

from van_jax import bundle as bundle_lib, models, storage
from van_jax.bundle import description, weights
from van_jax.experiment import model_check, section_table, sections
from van_jax.experiment.sections import Config
from van_jax.models import record
from van_jax.models.heads import table

_PARTS = {table.HEAD: "decode_head", table.AUXILIARY: "auxiliary_head"}
_FREE = "dropout_rate"  # No weight depends on it.


def load(config: Config, path: str) -> tuple[dict[str, Any], Any]:
  """Returns what a config's model may take of a bundle, and its preprocessing.

  Args:
    config: of the run.
    path: of the bundle, on disk.

  Returns:
    a VAN's variables; for a segmenter, of one, the same heads' beside those of
    its `backbone`.

  Raises:
    UserError: as `load_bundle`.
  """
  folder = storage.absolute(path)
  theirs = description.read(folder)["architecture"]
  strangers = model_check.strangers(config)
  attention = strangers.get("attention")
  if "backbone" not in theirs:
    bundle = bundle_lib.load_bundle(path, attention=attention)
    return bundle.variables, bundle.preprocessing
  bundle = bundle_lib.load_backbone(path, attention=attention)
  heads = []
  if section_table.has_masks(config):
    heads = _same_heads(config, theirs, strangers)
  if not heads:
    return bundle.variables, bundle.preprocessing
  # Not by `load_bundle`, which needs the class of every head that is there.
  kept = {
    name: jnp.asarray(array)
    for name, array in weights.read(folder).items()
    if name.split("/")[1] in heads
  }
  variables = traverse_util.unflatten_dict(kept, sep="/")
  for collection, values in bundle.variables.items():
    variables.setdefault(collection, {})["backbone"] = values
  return variables, bundle.preprocessing


def _same_heads(
  config: Config, theirs: Mapping[str, Any], strangers: Mapping[str, type]
) -> list[str]:
  """Returns the parts of a segmenter that are the config's; logs the others.

  Args:
    config: of the run.
    theirs: the bundle's architecture.
    strangers: the classes of a stranger's modules that the config names.
  """
  ours = models.architecture(sections.build(config, "model"))
  same = []
  for choice, part in _PARTS.items():
    there, here = theirs[choice.field], ours[choice.field]
    if there and here and there["name"] == here["name"]:
      handed = strangers.get(choice.field)
      # As this version has it: an older one's may lack a field.
      there = record.to_json(choice, record.from_json(choice, there, handed))
    if _fields(there) != _fields(here):
      logging.info(
        "pretrained_bundle=%s: model.%s is %s there and %s here, and is not "
        "taken.",
        config.pretrained_bundle,
        choice.field,
        there,
        here,
      )
    elif there:
      same.append(part)
  return same


def _fields(head: Mapping[str, Any] | None) -> dict[str, Any]:
  return {k: v for k, v in (head or {}).items() if k != _FREE}
