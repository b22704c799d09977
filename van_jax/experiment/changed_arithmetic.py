"""What this version computes otherwise than the one that began a run.

A run that goes on keeps its config, and cannot keep these; its user is told.
"""

import os
from collections.abc import Mapping
from typing import Any

from absl import logging

from van_jax import storage
from van_jax.cli import dotted_keys
from van_jax.training.run import workdir as workdir_lib


def warn(workdir: str | os.PathLike[str]) -> None:
  """Logs a line if the folder holds a run that goes on otherwise."""
  if not (storage.absolute(workdir) / workdir_lib.CONFIG).exists():
    return
  changes = describe(workdir_lib.read_config(workdir))
  if changes:
    logging.warning(
      "The run in %s was begun by an earlier version. It goes on, but from "
      "here on %s.",
      workdir,
      " and ".join(changes),
    )


def describe(config: Mapping[str, Any]) -> list[str]:
  """Returns what changes for a run, as parts of a sentence.

  Args:
    config: as the version that began it wrote it.
  """
  if dotted_keys.has(config, "mixing.group_size"):
    return []
  changes = []
  alphas = ("mixing.mixup_alpha", "mixing.cutmix_alpha")
  if any(_value(config, key, 0) for key in alphas):
    changes.append(
      "images are mixed before they are normalised, rounded to whole pixel "
      "values as the official recipe does"
    )
  if _value(config, "augmentation.repeats", 1) > 1:
    changes.append(
      "the copies of an image lie far from each other in the batch, which has "
      "the same images"
    )
  return changes


def _value(config: Mapping[str, Any], key: str, absent: Any) -> Any:
  """Returns the value of a dotted key that the oldest versions lack."""
  return (
    dotted_keys.get(config, key) if dotted_keys.has(config, key) else absent
  )
