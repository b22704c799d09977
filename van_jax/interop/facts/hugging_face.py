"""What Hugging Face's JSON files beside the weights say of them."""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from absl import logging

from van_jax import errors, models
from van_jax.interop.names import key_tables, state_dicts
from van_jax.interop.readers import excerpts

CONFIG = "config.json"
_OWN_NAMES = re.compile(
  r"(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?"
)
_MAX_BYTES = 16 << 20
# What every VAN of ours has, and theirs by default.
_FIXED = {
  "num_channels": 3,
  "patch_sizes": [7, 3, 3, 3],
  "strides": [4, 2, 2, 2],
  "hidden_act": "gelu",
}
_EPSILON = "layer_norm_eps"


def config(
  path: pathlib.Path, weights: state_dicts.StateDict
) -> Mapping[str, Any]:
  """Returns the config.json that belongs to a file; {} if none does.

  One beside it that describes another model, or belongs to a file of another
  name, is left alone.

  Args:
    path: of the weights.
    weights: their names.

  Raises:
    UserError: if it asks for what VAN does not have here.
  """
  if weights.dialect.table != key_tables.HUGGINGFACE:
    return {}
  fields = read(path.with_name(CONFIG))
  if not _is_van(fields):
    return {}
  if not _OWN_NAMES.fullmatch(path.name):
    logging.warning(
      "%s beside it was not read: it belongs to model.safetensors or "
      "pytorch_model.bin, and this file is called %s.",
      CONFIG,
      path.name,
    )
    return {}
  for name, ours in _FIXED.items():
    if (theirs := fields.get(name, ours)) != ours:
      raise errors.UserError(
        f"{path.with_name(CONFIG)}: {name}={_shown(theirs)}, and a VAN here "
        f"has {_shown(ours)}; these weights would give other numbers."
      )
  return fields


def epsilon(fields: Mapping[str, Any]) -> float | None:
  """Returns the stage norms' epsilon; None where no config says it.

  Raises:
    UserError: if it is no such number.
  """
  value = fields.get(_EPSILON)
  if value is None:
    return None
  if not isinstance(value, int | float) or not 0 < value < 1:
    raise errors.UserError(
      f"{CONFIG}: {_EPSILON}={_shown(value)} must be a number between 0 and 1."
    )
  return float(value)


def check(fields: Mapping[str, Any], model: models.VAN) -> None:
  """Raises UserError where a config describes another model."""
  for name, ours in (
    ("hidden_sizes", model.widths),
    ("depths", model.depths),
    ("mlp_ratios", model.ffn_ratios),
  ):
    theirs = fields.get(name, list(ours))
    if not isinstance(theirs, list) or theirs != list(ours):
      raise errors.UserError(
        f"{CONFIG}: {name}={_shown(theirs)}, and the weights beside it have "
        f"{list(ours)}; fetch the two from one place, or move {CONFIG} away."
      )


def read(path: pathlib.Path) -> Mapping[str, Any]:
  """Returns the fields of a JSON file; {} where it is missing or no object."""
  try:
    if path.stat().st_size > _MAX_BYTES:
      return {}
    fields = json.loads(path.read_text(encoding="utf-8-sig"))
  except (OSError, ValueError, RecursionError):
    return {}  # It is not theirs, and not ours to judge.
  return fields if isinstance(fields, dict) else {}


def _is_van(fields: Mapping[str, Any]) -> bool:
  classes = fields.get("architectures")
  classes = classes if isinstance(classes, list) else []
  return fields.get("model_type") == "van" or any(
    isinstance(name, str) and name.startswith("Van") for name in classes
  )


def _shown(value: Any) -> str:
  if isinstance(value, list):
    return f"[{excerpts.listed(value, 8)}]"
  return excerpts.excerpt(value)
