"""Checkpoints of a run: asynchronous, atomic, the last few and the best."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy

from van_jax import errors, storage
from van_jax.parallel import processes
from van_jax.training.run import (
  checksum,
  damage,
  kept,
  peers,
  presence,
  restoring,
  saving,
  scores as scores_lib,
  unwritable,
)
from van_jax.training.run.restoring import CheckpointError
from van_jax.training.state import TrainState


class Checkpointer:
  """Saves and restores the training states of one run.

  A save returns at once and is finished in the background; a checkpoint
  becomes visible only when it is whole. Kept are the last `keep_last`, and
  the `keep_best` with the best score among those saved with scores.
  """

  def __init__(
    self,
    directory: str | os.PathLike[str],
    *,
    keep_last: int,
    keep_best: int,
    best: str,
    best_mode: str,
    save_seconds: float = saving.SECONDS,
    restore_seconds: float = restoring.SECONDS,
  ):
    """Opens or creates the folder.

    Args:
      directory: holds one folder a checkpoint, named by its step.
      keep_last: newest checkpoints kept, at least 1.
      keep_best: best-scored checkpoints kept besides, 0 or more.
      best: name of the score that they are kept by.
      best_mode: "max" if a higher one is better, "min" if a lower one is.
      save_seconds: that a save may take, and processes wait for each other in
        it; while the storage fails it is tried for half of them.
      restore_seconds: the same of reading one.

    Raises:
      UserError: when a count is too small.
    """
    check_kept(keep_last, keep_best)
    self._directory = storage.absolute(directory)
    self._failed = False
    self._restore_seconds = restore_seconds
    processes.first_does(
      "making the folder of checkpoints",
      lambda: self._directory.mkdir(parents=True, exist_ok=True),
    )
    self._presence = presence.Presence(self._directory)
    damage.clear(self._directory, kept.steps(self._directory))
    rank = functools.partial(kept.rank, best=best, best_mode=best_mode)
    policies: list[preservation_policy.PreservationPolicy] = [
      preservation_policy.LatestN(keep_last)
    ]
    if keep_best:
      policies.append(
        preservation_policy.BestN(
          get_metric_fn=rank,
          n=keep_best,
          keep_checkpoints_without_metrics=False,
        )
      )
    self._saver = saving.Saver(
      self._directory,
      preservation_policy.AnyPreservationPolicy(policies),
      rank,
      seconds=save_seconds,
    )

  def save(
    self,
    step: int,
    state: TrainState,
    scores: Mapping[str, float] | None = None,
  ):
    """Starts a save, after waiting for the one before it.

    Storage that fails for a while is tried again; a save that it had failed in
    the background is made up for by this one.

    Raises:
      CheckpointError: when this or the save before it could not be written,
        on a full disk for example. Finished checkpoints are untouched.
      PeerError: when another process is gone.
    """
    self._check_still_there()
    parts = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    sums: dict[str, Any] = {checksum.NAME: checksum.checksums(parts)}
    if scores is not None:
      sums[scores_lib.CHECKSUM] = scores_lib.checksum(scores)
    items = ocp.args.Composite(
      state=ocp.args.StandardSave(state),
      fingerprint=ocp.args.JsonSave(sums),
    )
    with self._failures_named():
      self._saver.save(step, items, scores)

  def scores(self, step: int) -> Mapping[str, float] | None:
    """Returns the scores that a checkpoint was saved with, None if without."""
    return self._saver.manager.metrics(step)

  def add_scores(self, step: int, scores: Mapping[str, float]):
    """Gives a finished checkpoint the scores that it was saved without."""
    processes.first_does(
      "scores of a checkpoint",
      lambda: scores_lib.add(self._directory / str(step), scores),
    )
    self._saver.manager.reload()

  def wait(self):
    """Waits until every save is on disk.

    Raises:
      CheckpointError: when one could not be written.
    """
    with self._failures_named():
      self._saver.finish()

  def close(self):
    """Waits until every save is on disk, and lets go of the folder.

    Raises:
      CheckpointError: when one could not be written.
    """
    with contextlib.closing(self._presence):
      if self._failed:
        self._saver.let_go()
        return
      self.wait()
      with self._failures_named():
        self._saver.manager.close()

  def _check_still_there(self):
    """Raises CheckpointError where somebody has removed the folder.

    Orbax would make it again: a folder that nobody's config belongs to.
    """
    if self._presence.is_lost():
      self._failed = True
      if there := kept.steps(self._directory):
        raise unwritable.replaced(self._directory, there)
      raise unwritable.removed(self._directory)

  @contextlib.contextmanager
  def _failures_named(self) -> Iterator[None]:
    """Turns what a save raises into a CheckpointError, but a peer's loss."""
    try:
      yield
    except Exception as error:  # Orbax passes on what the file system raised.
      self._failed = True
      if peers.is_loss(error):
        raise
      there = kept.steps(self._directory)
      if self._presence.is_lost() and not there:
        raise unwritable.removed(self._directory) from error
      raise unwritable.told(error, self._directory, there) from error

  def restore_latest(self, like: TrainState) -> TrainState | None:
    """Returns the newest state that can be read; None if there is none yet.

    A damaged checkpoint is set aside as `damaged-STEP` with a warning, and
    the one before it is taken.

    Args:
      like: arrays or `jax.ShapeDtypeStruct`s with the shardings wanted.

    Raises:
      CheckpointError: when there are checkpoints and none can be read.
      StillFailingError: when the storage fails; nothing is set aside for it.
      UserError: when the newest is of another architecture.
    """
    for step in reversed(kept.steps(self._directory)):
      try:
        return restoring.restore(
          self._directory, step, like, seconds=self._restore_seconds / 2
        )
      except CheckpointError as error:
        logging.warning(
          "%s It is set aside as %s; falling back to the one before.",
          error,
          self._set_aside(step),
        )
    if aside := damage.steps_aside(self._directory):
      raise CheckpointError(
        f"None of the checkpoints in {self._directory} can be read: steps "
        f"{aside}, set aside as damaged-STEP. Train anew with --start_over."
      )
    return None

  def _set_aside(self, step: int) -> epath.Path:
    aside = damage.set_aside(self._directory, str(step), f"damaged-{step}")
    self._saver.manager.reload()
    return aside


def check_kept(keep_last: int, keep_best: int) -> None:
  """Raises UserError unless these numbers of checkpoints can be kept."""
  if keep_last < 1 or keep_best < 0:
    raise errors.UserError(
      f"checkpoint.keep_last={keep_last} must be 1 or more and "
      f"checkpoint.keep_best={keep_best} 0 or more."
    )
