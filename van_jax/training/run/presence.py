"""Whether a folder that is written to is still the one that was opened."""

import contextlib
import os
import weakref

from etils import epath

from van_jax import retrying, storage


class Presence:
  """Tells a folder from another of its name, as Orbax makes one.

  What a save raises in a folder that somebody has removed depends on the
  moment, and not all of it speaks of a missing file. The kernel knows: while a
  folder is open, its number is given to no other.
  """

  def __init__(self, folder: epath.Path):
    """Opens a folder that is there; a remote one has only its name."""
    self._folder = folder
    self._descriptor: int | None = None
    self._close = lambda: None
    if not storage.is_remote(folder):
      descriptor = retrying.call(
        lambda: os.open(folder, os.O_RDONLY), f"Opening {folder}"
      )
      assert descriptor is not None  # That is for what `done_if` lets pass.
      self._descriptor = descriptor
      self._close = weakref.finalize(self, os.close, descriptor)

  def is_lost(self) -> bool:
    """Returns whether the folder is gone, or another has its name."""
    if not self._folder.is_dir():
      return True
    if self._descriptor is None:
      return False
    with contextlib.suppress(OSError):  # Of a storage that fails for a while.
      then, now = os.fstat(self._descriptor), os.stat(self._folder)
      return not os.path.samestat(then, now)
    return False

  def close(self) -> None:
    """Lets go of the folder; may be called again."""
    self._descriptor = None
    self._close()
