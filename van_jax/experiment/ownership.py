"""Whose workdir a folder is: the check of a run that begins or goes on."""

import functools
import os
from collections.abc import Mapping
from typing import Any

from van_jax.experiment import changed_arithmetic, resuming
from van_jax.training.run import workdir as workdir_lib


def check(workdir: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
  """Raises UserError unless a run of this config may have the folder.

  Args:
    workdir: need not exist.
    config: the run's, as nested dicts.
  """
  workdir_lib.check_owner(
    workdir,
    config,
    free=resuming.FREE,
    conditions=resuming.CONDITIONS,
    upgrade=functools.partial(changed_arithmetic.upgrade, now=config),
  )
