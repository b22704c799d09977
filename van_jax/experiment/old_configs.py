"""Configs of runs that earlier versions started, as configs of now.

A key with a default that is added to configs/default.py gets a row of ADDED
here, and one that moves gets a row of `cli.moved_keys`; nothing else.
"""

import copy
import os
from collections.abc import Mapping
from typing import Any

import ml_collections

from van_jax import errors
from van_jax.cli import dotted_keys, moved_keys
from van_jax.experiment import section_table
from van_jax.experiment.sections import Config
from van_jax.training.run import workdir as workdir_lib

# Key that a run may lack: the value that does what its version did. A section
# comes before the keys in it.
ADDED = {
  "pretrained_head_scale": 1.0,
  "data.on_damaged": "raise",
  "data.exif_rotation": False,
  "data.options": {},
  "augmentation.policy": "none",
  "augmentation.operations": [],
  "augmentation.randaugment_ops": 2,
  "augmentation.randaugment_magnitude": 9.0,
  "augmentation.randaugment_std": 0.5,
  "augmentation.randaugment_probability": 0.5,
  "augmentation.color_jitter": 0.0,
  "augmentation.fill_color": [128, 128, 128],
  "augmentation.repeats": 1,
  "preprocessing.crop_pct": None,
  "erasing": {},
  "erasing.probability": 0.0,
  "erasing.mode": "pixel",
  "erasing.count": 1,
  "erasing.area": [0.02, 1 / 3],
  "erasing.min_aspect": 0.3,
  "mixing.group_size": None,
  "model.widths": None,
  "model.depths": None,
  "model.ffn_ratios": None,
  "model.layer_norm_epsilon": 1e-6,
  "model.attention": {"name": "lka"},
  "model.implementation": "auto",
  "task": {"name": "classification", "options": {}},
  "loss": {"name": "cross_entropy", "options": {}},
  "schedule.options": {},
  "optimizer.name": "adamw",
  "optimizer.options": {},
  "optimizer.undecayed_patterns": None,
  "deadlines": {},
  "deadlines.start_up_seconds": 300.0,
  "deadlines.barrier_seconds": 600.0,
  "deadlines.compile_seconds": 3600.0,
  "deadlines.restore_seconds": 1800.0,
  "deadlines.step_seconds": 600.0,
  "deadlines.save_seconds": 1800.0,
  "deadlines.evaluation_seconds": 600.0,
  "xla_flags": {},
  "mesh": {"fsdp": 1, "gradient_dtype": "bfloat16"},
}


def read(workdir: str | os.PathLike[str]) -> Config:
  """Returns the config of a workdir's run, whatever version started it.

  Raises:
    UserError: when the folder holds no run, or its config is damaged.
  """
  return ml_collections.ConfigDict(upgrade(workdir_lib.read_config(workdir)))


def upgrade(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns what a run's config is in the keys of now.

  Args:
    config: of any earlier version, or of this one; nested dicts, as JSON has
      them. It is left as it is. A section that is missing stays so: weights are
      read without the recipe.

  Raises:
    UserError: when it has no model.
  """
  upgraded = copy.deepcopy(dict(config))
  if not isinstance(upgraded.get("model"), dict):
    raise errors.UserError(
      f"{workdir_lib.CONFIG} has no section 'model' and is no config of "
      "van_jax's; name another workdir, or pass --start_over."
    )
  taken = moved_keys.take(upgraded)
  for key, value in ADDED.items():
    section = key.rpartition(".")[0]
    sectioned = not section or dotted_keys.has(upgraded, section)
    # Configs of masks lack some sections, and keys of others, to this day.
    wanted = sectioned and section_table.is_read(upgraded, key)
    if wanted and not dotted_keys.has(upgraded, key):
      dotted_keys.put(upgraded, key, copy.deepcopy(value))
  for key, value in taken.items():
    dotted_keys.put(upgraded, key, value)
  return upgraded
