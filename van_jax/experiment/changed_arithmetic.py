"""What this version computes otherwise than the one that began a run.

A run that goes on does so as this version computes; its user is told.
"""

import os
from collections.abc import Mapping
from typing import Any

from absl import logging

from van_jax import storage
from van_jax.cli import dotted_keys
from van_jax.experiment import old_configs
from van_jax.training.run import workdir as workdir_lib

# A run that lacks it mixed whole batches, as floating point numbers.
_SECTION = "mixing"  # Configs of masks have none.
_SINCE = f"{_SECTION}.group_size"


def upgrade(config: Mapping[str, Any], *, now: Mapping[str, Any]) -> Any:
  """Returns a run's config in the keys of now, as far as it can go on so.

  Args:
    config: as the version that began the run wrote it.
    now: the config to go on with, which decides what the run's could not say.
  """
  upgraded = old_configs.upgrade(config)
  if _is_older(config, now):
    dotted_keys.put(upgraded, _SINCE, dotted_keys.get(now, _SINCE))
  return upgraded


def warn(workdir: str | os.PathLike[str], now: Mapping[str, Any]) -> None:
  """Logs a line if the folder holds a run that goes on otherwise."""
  if not (storage.absolute(workdir) / workdir_lib.CONFIG).exists():
    return
  if changes := describe(workdir_lib.read_config(workdir), now):
    logging.warning(
      "The run in %s was begun by an earlier version; from here on %s.",
      workdir,
      ", and ".join(changes),
    )


def describe(config: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """Returns what changes for a run, as parts of a sentence.

  Args:
    config: as the version that began it wrote it.
    now: what it goes on with.
  """
  if not _is_older(config, now):
    return []
  changes = []
  alphas = ("mixing.mixup_alpha", "mixing.cutmix_alpha")
  if any(dotted_keys.get(now, key) for key in alphas):
    size = dotted_keys.get(now, _SINCE)
    changes.append(
      f"images are mixed as bytes in groups of {size or 'a whole batch'}, "
      "rounded as in the official recipe, and no longer as floating point "
      "numbers in whole batches"
    )
  if dotted_keys.get(now, "augmentation.repeats") > 1:
    changes.append(
      "the copies of an image lie far from each other in a batch, which has "
      "the same ones"
    )
  return changes


def _is_older(config: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
  """Returns whether a run, of the kind of now, began before `_SINCE`."""
  both = _SECTION in config and dotted_keys.has(now, _SINCE)
  return both and not dotted_keys.has(config, _SINCE)
