"""Where a new run branches off: the state of another run's checkpoint."""

import dataclasses
import json
import os
import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
from absl import logging

from van_jax import errors, storage, tasks
from van_jax.experiment import old_configs, weights
from van_jax.experiment.sections import Config
from van_jax.parallel import processes
from van_jax.training.run import restoring, workdir as workdir_lib
from van_jax.training.state import TrainState

ORIGIN = "origin.json"  # In the workdir of a run that is a branch.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
  """The checkpoint that a run started from.

  Attributes:
    given: what `init_from` was, WORKDIR[:STEP|best].
    workdir: absolute path of the other run.
    step: of its checkpoint.
  """

  given: str
  workdir: str
  step: int


def find(
  given: str,
  workdir: str | os.PathLike[str],
  *,
  task: tasks.Task,
  start_over: bool,
) -> Origin | None:
  """Returns where the run in a workdir has branched off, or is to.

  All processes call this; of a new run, the first one's step is everyone's.

  Args:
    given: WORKDIR[:STEP|best] of another run; "" for none.
    workdir: of the run that goes on or starts.
    task: says which step is the best.
    start_over: whether the run that is there does not matter.

  Raises:
    UserError: when the run that is there started otherwise, or there is no
      run to start from.
    CheckpointError: when none of that run's steps has scores.
  """
  folder = storage.absolute(workdir)
  if not start_over and (folder / workdir_lib.CONFIG).exists():
    recorded = _read(folder / ORIGIN)
    if given and (recorded is None or recorded.given != given):
      began = f"from {recorded.given}" if recorded else "without init_from"
      raise errors.UserError(
        f"init_from={given} is for a new run, and workdir={workdir} holds one "
        f"that began {began}; leave --init_from out to go on with it, or name "
        "another --workdir."
      )
    return recorded
  if not given:
    return None
  source, step = _parse(given)
  config = old_configs.read(source)  # Raises where there is no run.
  number = weights.step_number(config, source, step, task)
  # The other run may save between one process's look and another's.
  said = processes.broadcast("the step to branch off", str(number))
  return Origin(
    given=given,
    workdir=os.fspath(storage.absolute(source)),
    step=int(said),
  )


def record(workdir: str | os.PathLike[str], origin: Origin | None) -> None:
  """Writes down where a run began; to be called before it is claimed.

  Args:
    workdir: of the new run.
    origin: None removes what a start that never came to a claim has left.
  """
  path = storage.absolute(workdir) / ORIGIN
  if origin is None:
    path.unlink(missing_ok=True)
    return
  with storage.replacing(path) as draft:
    draft.write_text(json.dumps(dataclasses.asdict(origin), indent=2) + "\n")


def state(origin: Origin, config: Config, like: TrainState) -> TrainState:
  """Returns the state at the origin, with no update done under its schedule.

  Parameters, running statistics, moments and averages are the checkpoint's;
  the step and the schedule's count are 0. What counts updates for the
  moments' sake, such as AdamW's bias correction, is kept with the moments.

  Args:
    origin: of `find`.
    config: of the new run.
    like: shapes and shardings of the new run's states.

  Raises:
    UserError: when the other run's model or optimizer is another.
    CheckpointError: when the checkpoint is missing or damaged.
  """
  _check_recipe(origin, config)
  folder = storage.absolute(origin.workdir) / workdir_lib.CHECKPOINTS
  try:
    there = restoring.restore(folder, origin.step, like)
  except restoring.CheckpointError:
    raise
  except errors.UserError as error:
    raise _misfit(origin, str(error)) from error
  logging.info("Starting from step %d of %s.", origin.step, origin.workdir)
  return dataclasses.replace(
    there, step=_zero(there.step), opt_state=_schedule_anew(there.opt_state)
  )


def _parse(given: str) -> tuple[str, str]:
  """Returns the workdir and the step of WORKDIR[:STEP|best|latest]."""
  if found := re.fullmatch(r"(.+):(\d+|best|latest)", given):
    return found[1], found[2]
  start, colon, step = given.rpartition(":")
  if colon and (storage.absolute(start) / workdir_lib.CONFIG).exists():
    raise errors.UserError(
      f"init_from={given}: {step!r} must be latest, best, or the number of a "
      "step."
    )
  return given, "latest"


def _read(path: Any) -> Origin | None:
  """Returns what `record` has written; None where it has not."""
  try:
    return Origin(**storage.read_json(path))
  except FileNotFoundError:
    return None
  except (ValueError, TypeError) as error:
    raise errors.UserError(
      f"{path} is damaged ({error}); name another workdir, or pass "
      "--start_over."
    ) from None


def _check_recipe(origin: Origin, config: Config) -> None:
  """Raises UserError where the runs keep other things beside the weights."""
  there = old_configs.read(origin.workdir)
  if there.optimizer.name != config.optimizer.name:
    raise _misfit(
      origin,
      f"its optimizer is {there.optimizer.name}, and config.optimizer.name is "
      f"{config.optimizer.name}.",
    )
  if (there.ema.decay is None) != (config.ema.decay is None):
    raise _misfit(
      origin,
      f"its ema.decay is {there.ema.decay}, and config.ema.decay is "
      f"{config.ema.decay}: both must keep averages, or none.",
    )


def _misfit(origin: Origin, reason: str) -> errors.UserError:
  return errors.UserError(
    f"init_from={origin.given}: {reason} A branch takes over model, moments "
    "and averages; to take the weights alone, set config.pretrained_bundle to "
    "the other run's bundle."
  )


def _schedule_anew(opt_state: Any) -> Any:
  """Returns the optimizer's state with the schedule's counts at 0."""

  def is_count(x):
    return isinstance(x, optax.ScaleByScheduleState)

  return jax.tree.map(
    lambda x: x._replace(count=_zero(x.count)) if is_count(x) else x,
    opt_state,
    is_leaf=is_count,
  )


def _zero(x: jax.Array) -> jax.Array:
  return jnp.zeros_like(x, device=x.sharding)
