"""The config to evaluate weights by, where the user names none.

A workdir has its run's, and so has the bundle of a run. Converted weights have
none; of them the data alone must be said. Nothing is imported because a file
names it.
"""

import os
from collections.abc import Mapping
from typing import Any

import ml_collections

from van_jax import bundle as bundle_lib, errors, imports, models, storage
from van_jax.bundle import description
from van_jax.cli import dotted_keys
from van_jax.experiment import old_configs, section_table
from van_jax.experiment.sections import Config

# Sections whose name, or which themselves, as a model's fields may be plain
# names, can be import paths.
_NAMING = ("model.attention", "model.head", "model.auxiliary", "task", "data")
# As configs/default.py has them.
_CACHE = "~/.cache/van_jax"
_IMPLEMENTATION = "auto"


def read(checkpoint: str | os.PathLike[str]) -> Config:
  """Returns a config for the evaluation of a bundle, or of a workdir.

  Args:
    checkpoint: a bundle's folder, or a training workdir.

  Returns:
    an unlocked config, with what evaluation reads; of converted weights
    data.directory is "", and evaluation.batch_size is 0: neither is known.

  Raises:
    UserError: for a segmenter that was converted.
  """
  if not bundle_lib.is_bundle(checkpoint):
    config = old_configs.read(checkpoint)
  else:
    fields = description.read(storage.absolute(checkpoint))
    theirs = fields["source"].get("config")
    if isinstance(theirs, dict):
      config = ml_collections.ConfigDict(old_configs.upgrade(theirs))
    elif fields["task"] == bundle_lib.SEGMENTATION:
      raise errors.UserError(
        f"checkpoint={checkpoint} is a converted segmenter, which says nothing "
        "of the images and masks to score it on; name a config, --config=FILE."
      )
    else:
      config = ml_collections.ConfigDict(_of_converted(fields))
  if not section_table.has_masks(config):
    config.loss = {"name": "cross_entropy", "options": {}}  # Not a file's.
    for section in ("mixing", "erasing"):  # Of training alone.
      config[section] = {}
  return config


def check_imports(config: Config) -> None:
  """Raises UserError where a file's config names a stranger's code."""
  for key in _NAMING:
    value: Any = None
    if dotted_keys.has(config, key):
      value = dotted_keys.get(config, key)
    if hasattr(value, "keys"):
      key, value = f"{key}.name", value.get("name")
    if imports.is_path(value):
      raise errors.UserError(
        f"the config of these weights has {key}={value!r}, which is not "
        f"imported because a file says so; name the config yourself, "
        "--config=FILE."
      )


def set_data(config: Config, data: Mapping[str, str | None]) -> None:
  """Writes what flags say of the data into a config.

  Args:
    config: unlocked.
    data: values of keys of its section "data"; None for what it has.

  Raises:
    UserError: if then nothing says where the data lies.
  """
  if data["name"] not in (None, config.data.name):
    config.data.options = {}  # They were another data set's.
  for name, value in data.items():
    if value is not None:
      config.data[name] = value
  if not config.data.directory:
    raise errors.UserError(
      "these weights do not say where data lies: pass --data_directory=DIR, "
      "with class folders in DIR/val (or --split), or a --config."
    )


def _of_converted(fields: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a config for weights that no run of ours made."""
  return {
    "compilation_cache": _CACHE,
    "model": {
      "name": "van_b0",  # All that a name says is given beside it.
      "dtype": "float32",
      "implementation": _IMPLEMENTATION,
      **models.architecture(models.from_architecture(fields["architecture"])),
    },
    "data": {
      "name": "folder",
      "directory": "",
      "eval_split": "val",
      "on_damaged": "raise",
      "options": {},
    },
    "task": {"name": fields["task"], "options": {}},
    "preprocessing": fields["preprocessing"],
    "mesh": {"fsdp": 1},
    "evaluation": {"batch_size": 0, "averaged_weights": True},
    "deadlines": {
      name: old_configs.ADDED[f"deadlines.{name}"]
      for name in ("start_up_seconds", "barrier_seconds")
    },
  }
