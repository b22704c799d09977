"""Writes weights as the files that other projects load unchanged."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from van_jax import errors, models, places
from van_jax.data.images import preprocessing as preprocessing_lib
from van_jax.interop.assignment import arrays
from van_jax.interop.facts import (
  hugging_face,
  image_processors,
)
from van_jax.interop.names import key_tables, keys
from van_jax.interop.readers import safetensors_file, torch_file
from van_jax.models.attention import table

OFFICIAL, MMPRETRAIN, HUGGINGFACE = FORMATS = (
  "official",
  "mmpretrain",
  "huggingface",
)
# The attentions that the other projects' code has built in. Those of LSKA and
# MSCA have the official names, with their own convolutions'.
_LSKA_KERNELS = ((7, 2), (11, 2), (23, 3), (35, 3), (41, 3), (53, 3))
_LSKAS = (
  {"name": "lska", "kernel_size": k, "dilation": d} for k, d in _LSKA_KERNELS
)
_BUILT_IN = {
  OFFICIAL: ("lka", *_LSKAS, "msca"),
  MMPRETRAIN: ("lka",),
  HUGGINGFACE: ("lka",),
}
_OFFICIAL_NAMES = {name: theirs for theirs, name in models.ALIASES.items()}
_HUGGINGFACE_FILES = (
  "model.safetensors",
  hugging_face.CONFIG,
  image_processors.NAME,
)


def check(model: models.VAN, *, to: str) -> None:
  """Raises UserError unless a project's code can run the model."""
  if to not in FORMATS:
    raise errors.UserError(f"to={to!r} must be one of {', '.join(FORMATS)}.")
  if model.attention not in map(table.described, _BUILT_IN[to]):
    raise errors.UserError(
      f"the model's attention is {dict(model.attention)}, and the {to} code "
      f"has {', '.join(map(str, _BUILT_IN[to]))} built in; keep the bundle."
    )
  if to == MMPRETRAIN:
    return  # It can do without layer scales.
  if model.layer_scale_init is None:
    raise errors.UserError(
      f"the model has no layer scales, and the {to} code always has; write "
      "it for mmpretrain, or keep the bundle."
    )


def check_destination(
  path: str | os.PathLike[str], *, to: str, overwrite: bool
) -> epath.Path:
  """Returns where weights are to be, or raises UserError if they may not."""
  folder = to == HUGGINGFACE

  def is_own(place):
    if not folder:
      return place.is_file()
    names = {file.name for file in place.iterdir()} if place.is_dir() else {""}
    return names <= set(_HUGGINGFACE_FILES)

  return places.check_own(
    path,
    "output",
    kind=f"{to} weights",
    is_own=is_own,
    overwrite=overwrite,
    folder=folder,
  )


def notes(model: models.VAN, *, to: str) -> list[str]:
  """Returns what a user has to know about the file."""
  epsilon = {
    OFFICIAL: key_tables.OFFICIAL.layer_norm_epsilon,
    MMPRETRAIN: key_tables.MMPRETRAIN.layer_norm_epsilon,
  }.get(to, model.layer_norm_epsilon)
  if epsilon == model.layer_norm_epsilon:
    return []
  return [
    f"the {to} code has {epsilon} in its stage norms and this model has "
    f"{model.layer_norm_epsilon}: logits will differ in the last digits"
  ]


def write(
  path: pathlib.Path,
  *,
  to: str,
  model: models.VAN,
  variables: Mapping[str, Any],
  preprocessing: preprocessing_lib.Preprocessing,
  labels: Sequence[str] | None = None,
  batches_seen: int = 0,
) -> None:
  """Writes a file, or for Hugging Face a folder, at `path`.

  Args:
    path: must not exist.
    to: one of FORMATS.
    model: a VAN that `check` lets pass.
    variables: its weights.
    preprocessing: that belongs to them; only Hugging Face's files tell it.
    labels: one name a class, likewise.
    batches_seen: for torch's counters.
  """
  check(model, to=to)
  dialect = _dialect(model, to)
  named = arrays.write(variables, dialect, count=batches_seen)
  if to == HUGGINGFACE:
    _write_huggingface(path, named, dialect, model, preprocessing, labels)
    return
  name = models.variant_name(model) or ""
  description = (
    {"arch": _OFFICIAL_NAMES.get(name, name or "van"), "epoch": 0, "version": 2}
    if to == OFFICIAL
    else {"meta": {"CLASSES": list(labels)} if labels else {}}
  )
  torch_file.save(path, description, named)


def _dialect(model: models.VAN, to: str) -> keys.Dialect:
  if to == HUGGINGFACE:  # A model without a head is VanModel, unprefixed.
    return keys.Dialect(
      key_tables.HUGGINGFACE, "van." if model.num_classes else ""
    )
  tables = {OFFICIAL: key_tables.OFFICIAL, MMPRETRAIN: key_tables.MMPRETRAIN}
  return keys.Dialect(tables[to], tables[to].prefixes[0])


def _write_huggingface(
  path: pathlib.Path,
  named: dict[str, np.ndarray],
  dialect: keys.Dialect,
  model: models.VAN,
  preprocessing: preprocessing_lib.Preprocessing,
  labels: Sequence[str] | None,
) -> None:
  width = model.widths[-1]
  unused = {  # Their model has it, and never calls it.
    f"{dialect.prefix}layernorm.weight": np.ones(width, np.float32),
    f"{dialect.prefix}layernorm.bias": np.zeros(width, np.float32),
  }
  weights, *descriptions = _HUGGINGFACE_FILES
  path.mkdir()
  safetensors_file.write(path / weights, named | unused)
  for name, values in zip(
    descriptions,
    (
      _config(model, preprocessing, labels),
      image_processors.write(preprocessing),
    ),
    strict=True,
  ):
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    (path / name).write_text(text, encoding="utf-8")


def _config(
  model: models.VAN,
  preprocessing: preprocessing_lib.Preprocessing,
  labels: Sequence[str] | None,
) -> dict[str, Any]:
  names = labels or [f"LABEL_{i}" for i in range(model.num_classes)]
  return {
    "architectures": [
      "VanForImageClassification" if model.num_classes else "VanModel"
    ],
    "model_type": "van",
    "image_size": preprocessing.image_size,
    "num_channels": 3,
    "patch_sizes": [7, 3, 3, 3],
    "strides": [4, 2, 2, 2],
    "hidden_sizes": list(model.widths),
    "depths": list(model.depths),
    "mlp_ratios": list(model.ffn_ratios),
    "hidden_act": "gelu",
    "layer_norm_eps": model.layer_norm_epsilon,
    "layer_scale_init_value": model.layer_scale_init,
    "drop_path_rate": model.drop_path_rate,
    "dropout_rate": model.dropout_rate,
    "torch_dtype": "float32",
    "id2label": {str(i): name for i, name in enumerate(names)},
    "label2id": {name: i for i, name in enumerate(names)},
  }
