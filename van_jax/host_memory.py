"""malloc's settings for a program that computes on CPUs.

XLA allocates what a step needs anew each time. glibc takes large pieces from
the system and gives them back at once, so that every step pays a page fault for
each 4 KiB that it touches. Pieces that are kept cost nothing the next time, and
in pages of 2 MiB the first time costs little either.
"""

import ctypes
import glob
import os
from typing import Any

import jax
from absl import logging

# Of glibc's malloc.h, with values as man 3 mallopt has them.
_SETTINGS = (
  (-4, 0),  # M_MMAP_MAX: pieces of all sizes come from the heap,
  (-1, -1),  # M_TRIM_THRESHOLD: which never shrinks,
  (-8, 1),  # M_ARENA_MAX: and is one, since those of threads still do.
)
_MADV_HUGEPAGE = 14  # Linux's sys/mman.h.
_HUGE_PAGE = 2 << 20  # Bytes; of x86-64, and of arm64 with pages of 4 KiB.
_MOST_BYTES = 8 << 30  # Of the heap that is to lie in huge pages.
# Files by which Linux shows GPUs and TPUs.
_ACCELERATORS = (
  "/dev/nvidia[0-9]*",
  "/dev/dxg",
  "/dev/kfd",
  "/dev/accel*",
  "/dev/vfio/[0-9]*",
)


def keep_on_cpus() -> bool:
  """Makes malloc keep what is freed, for the whole process, on CPUs.

  To be called before JAX's devices are touched: their threads would have heaps
  of their own by then, and what they allocate would go back as before.

  Nothing happens where JAX is to use an accelerator, where the C library is not
  glibc, or where the environment has settings of malloc (`MALLOC_ARENA_MAX`,
  say, or glibc.malloc's in `GLIBC_TUNABLES`): whoever made them knows better.

  Returns:
    Whether malloc has taken the settings.
  """
  if not _computes_on_cpus() or not _is_glibc() or _is_set_by_user():
    return False
  libc = ctypes.CDLL(None)
  taken = [libc.mallopt(name, value) for name, value in _SETTINGS]
  logging.debug("malloc keeps its memory: %s", taken)  # A 1 for each.
  if all(taken):
    _ask_for_huge_pages(libc)
  return all(taken)


def _ask_for_huge_pages(libc: Any) -> None:
  """Lets the kernel back the heap that is to come with huge pages.

  The heap is made long once, told of, and given back to malloc, which keeps it.
  No page of it is touched, so that it costs addresses and no memory. Where
  addresses are rationed (ulimit -v, strict overcommit) nothing is done.
  """
  libc.malloc.restype = ctypes.c_void_p
  libc.malloc.argtypes = [ctypes.c_size_t]
  libc.free.argtypes = [ctypes.c_void_p]
  libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
  memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  length = min(_MOST_BYTES, memory // 2)
  if not (start := libc.malloc(length)):
    return
  first = -(-start // _HUGE_PAGE) * _HUGE_PAGE
  last = (start + length) // _HUGE_PAGE * _HUGE_PAGE
  refused = libc.madvise(first, last - first, _MADV_HUGEPAGE)
  logging.debug("huge pages for %d bytes: %s", last - first, not refused)
  libc.free(start)


def _computes_on_cpus() -> bool:
  """Returns whether JAX will, as far as can be told without its devices."""
  config: Any = jax.config  # Type checkers do not know its attributes.
  platforms = config.jax_platforms  # JAX_PLATFORMS, if not set otherwise.
  if platforms:
    return platforms.split(",")[0] == "cpu"
  return not any(glob.glob(pattern) for pattern in _ACCELERATORS)


def _is_glibc() -> bool:
  try:
    return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
  except (AttributeError, OSError, ValueError):  # Another system's.
    return False


def _is_set_by_user() -> bool:
  own = any(name.startswith("MALLOC_") for name in os.environ)
  return own or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
