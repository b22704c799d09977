"""malloc's settings for a process that computes on its CPU.

XLA allocates what a step needs anew each time. glibc takes large pieces from
the system and gives them back at once, so that every step pays a page fault for
each 4 KiB that it touches; kept pieces cost nothing the next time.
"""

import ctypes
import os

from absl import logging

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_NEVER = 2**31 - 1  # The largest int: bytes that must be free to be given back.


def keep() -> bool:
  """Makes malloc keep, for the whole process, what has been freed.

  Works on what is allocated from then on. Nothing happens where another C
  library than glibc does it, or where the environment has settings of malloc:
  whoever made them knows better.

  Returns:
    Whether malloc took the settings.
  """
  if not _is_glibc() or _chosen_by_user():
    return False
  mallopt = ctypes.CDLL(None).mallopt
  taken = [
    mallopt(_M_MMAP_MAX, 0),  # Pieces of all sizes from the heap,
    mallopt(_M_TRIM_THRESHOLD, _NEVER),  # which does not shrink,
    mallopt(_M_ARENA_MAX, 1),  # and is one: threads share what is free.
  ]
  logging.debug("malloc keeps its memory: %s", all(taken))
  return all(taken)


def _is_glibc() -> bool:
  try:
    return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
  except (AttributeError, OSError, ValueError):  # Not of this system.
    return False


def _chosen_by_user() -> bool:
  """Returns whether the environment has settings of malloc."""
  own = any(name.startswith("MALLOC_") for name in os.environ)
  return own or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
