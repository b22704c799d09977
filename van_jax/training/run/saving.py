"""Saves in the background, each tried until it is written."""

import contextlib
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy

from van_jax import retrying
from van_jax.training.run import attempts

SECONDS = 1200.0  # For a save, tries and all.
_LONGEST_SECONDS = 1e6  # Orbax counts in whole ones, and adds them to dates.
_CLOSE_SECONDS = 20  # For Orbax to end its threads, after a failed save.


class Saver:
  """Writes one state after the other, the next when the last is on disk.

  Storage that fails for a while meets a save in its background, when the state
  may be gone: it was donated to the next step. The save after it takes its
  place then, and is waited for; so is one that fails before it has begun.
  """

  def __init__(
    self,
    directory: epath.Path,
    policy: preservation_policy.PreservationPolicy,
    rank: Callable[[Mapping[str, float]], float],
    *,
    seconds: float,
  ):
    """Opens a folder.

    Args:
      directory: of the checkpoints; all processes of the run open it.
      policy: which of them are kept.
      rank: gives better scores a higher number.
      seconds: that a save may take; it is tried again for half of them, so
        that it has given up, and said why, before it is taken for a hang.
    """
    self._directory, self._policy, self._rank = directory, policy, rank
    self._seconds = seconds
    self._begun: tuple[int, Any, Any] | None = None  # Not known to be on disk.
    self._opened = 0
    self.manager = self._open()

  def _open(self) -> ocp.CheckpointManager:
    self._opened += 1
    processes = ocp.options.MultiprocessingOptions(
      # Named, they wait for each other by clock, not in a collective for ever.
      active_processes=set(range(jax.process_count())),
      # Of a save that failed, some may still be waiting.
      barrier_sync_key_prefix=f"saves{self._opened}",
    )
    return ocp.CheckpointManager(
      self._directory,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=self._policy,
        best_fn=self._rank,  # Without it Orbax does not write the scores.
        cleanup_tmp_directories=True,
        create=False,  # It is there; Orbax refuses it of named processes.
        async_options=ocp.options.AsyncOptions(
          timeout_secs=math.ceil(min(self._seconds, _LONGEST_SECONDS))
        ),
        multiprocessing_options=processes,
      ),
    )

  def save(self, step: int, args: Any, scores: Mapping[str, float] | None):
    """Starts a save, after waiting for the one before it.

    Args:
      step: of the state.
      args: what is saved, in Orbax's terms.
      scores: of the state, if it has been evaluated.

    Raises:
      StillFailingError: when the storage has failed for too long.
      Exception: what Orbax passes on from the file system, of this save or of
        the one before it.
    """
    is_behind = self._has_lost(step)
    self._begun = (step, args, scores)
    self._write(is_behind)

  def finish(self):
    """Waits until the last save is on disk.

    Raises:
      Exception: as of `save`.
    """
    try:
      self.manager.wait_until_finished()
    except Exception as error:
      # Others may have finished, and would not come to try again.
      alone = jax.process_count() == 1
      if not (alone and retrying.is_passing(error) and self._is_held()):
        raise
      logging.warning(
        "A save failed (%s); trying again.", retrying.first_line(error)
      )
      self._renew()
      self._write(True)
    self._begun = None

  def let_go(self):
    """Closes after a failed save; Orbax may wait for what never comes."""

    def close(manager):
      with contextlib.suppress(Exception):  # What failed has been reported.
        manager.close()

    closing = threading.Thread(target=close, args=(self.manager,), daemon=True)
    closing.start()
    closing.join(_CLOSE_SECONDS)

  def _has_lost(self, step: int) -> bool:
    """Returns whether the save before was lost, and says so."""
    if self._begun is None:
      return False
    before = self._begun[0]
    try:
      attempts.together(
        self.manager.wait_until_finished,
        f"Saving step {before}",
        seconds=0,  # The next one is its second try.
        wait_seconds=self._seconds,
      )
    except retrying.StillFailingError as error:
      reason = retrying.first_line(error.__cause__ or error)
      logging.warning(
        "The checkpoint of step %d could not be written (%s); that of step %d "
        "takes its place.",
        before,
        reason,
        step,
      )
      self._renew()
      return True
    return False

  def _write(self, is_awaited: bool):
    """Starts what has begun, tried again while the storage fails."""
    assert self._begun is not None, "who calls this has set it"
    step, args, scores = self._begun
    await_all = [is_awaited]

    def start():
      self.manager.save(step, args=args, metrics=scores)
      if await_all[0]:
        self.manager.wait_until_finished()

    def renew():
      await_all[0] = True
      self._renew()

    attempts.together(
      start,
      f"Saving step {step}",
      seconds=self._seconds / 2,
      before_again=renew,
    )

  def _is_held(self) -> bool:
    """Returns whether the arrays of the last save are still there."""
    assert self._begun is not None, "what has failed has begun"
    leaves = jax.tree.leaves(self._begun[1])
    return not any(
      leaf.is_deleted() for leaf in leaves if isinstance(leaf, jax.Array)
    )

  def _renew(self):
    """Opens the folder anew: Orbax keeps the error of a save for good."""
    self.let_go()
    self.manager = self._open()
