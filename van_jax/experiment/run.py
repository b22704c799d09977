"""A run, once it is checked: what stays the same while it lasts."""

import dataclasses
from collections.abc import Callable

import jax
from etils import epath

from van_jax import data, tasks
from van_jax.experiment import parts
from van_jax.experiment.sections import Config
from van_jax.training.run.phases import Phases


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """What every part of a run is told.

  Attributes:
    config: that has been checked.
    workdir: that has been claimed.
    task: what is learned.
    source: the data.
    recipe: what is trained, and how.
    mesh: of the devices.
    phases: told of each that the run is in.
    is_branch: whether it began with the state of another.
    check_ours: raises UserError when another run has the folder by now.
  """

  config: Config
  workdir: epath.Path
  task: tasks.Task
  source: data.Source
  recipe: parts.Recipe
  mesh: jax.sharding.Mesh
  phases: Phases
  is_branch: bool
  check_ours: Callable[[], None]
