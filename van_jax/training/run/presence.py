"""Whether a folder that is written to is still the one that was opened."""

import errno
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
    """Opens a folder.

    Args:
      folder: a remote one has only its name; nor has one more that a shared
        file system does not show here yet, as another process has just made it.
    """
    self._folder = folder
    self._descriptor: int | None = None
    self._close = lambda: None
    if not storage.is_remote(folder):
      self._descriptor = retrying.call(
        lambda: _opened(folder), f"Opening {folder}"
      )
    if self._descriptor is not None:
      self._close = weakref.finalize(self, os.close, self._descriptor)

  def is_lost(self) -> bool:
    """Returns whether the folder is gone, or another has its name."""
    if not self._folder.is_dir():
      return True
    if self._descriptor is None:
      return False
    try:
      now = os.stat(self._folder)
      return not os.path.samestat(os.fstat(self._descriptor), now)
    except OSError as error:
      # So NFS says of one that another host removed; others may pass.
      return error.errno == errno.ESTALE

  def close(self) -> None:
    """Lets go of the folder; may be called again."""
    self._descriptor = None
    self._close()


def _opened(folder: epath.Path) -> int | None:
  try:
    return os.open(folder, os.O_RDONLY)
  except FileNotFoundError:
    return None
