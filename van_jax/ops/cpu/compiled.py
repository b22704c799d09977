"""How the CPU's loops are compiled, and where the result is kept.

Numba keeps compiled functions by their own file's time: it does not see that a
function they call, in another file, has changed. Here they are kept in a folder
that is named after the contents of all these files, or, where the user's cache
cannot be written, until the program ends. Nor does Numba see damage: the folder
is sealed when it has been written to, and what has changed since is removed.
"""

import atexit
import contextlib
import functools
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numba

from van_jax.ops.cpu import seal

_OPTIONS = {"error_model": "numpy", "cache": True}
_FOLDER = "~/.cache/van_jax/numba"


def compiled(function: Callable[..., Any]) -> Any:
  """Returns a function for other loops; runs outside of Python's lock."""
  with _kept():
    return numba.njit(nogil=True, **_OPTIONS)(function)


def c_function(function: Callable[..., Any]) -> Any:
  """Returns a C function for XLA, from one int64 to another."""
  with _kept():
    signature = numba.types.int64(numba.types.int64)
    return numba.cfunc(signature, **_OPTIONS)(function)


@contextlib.contextmanager
def _kept() -> Iterator[None]:
  """Has Numba keep in our folder what is decorated within."""
  config: Any = numba.config
  before = config.CACHE_DIR
  config.CACHE_DIR = _folder()
  try:
    yield
    seal.close(pathlib.Path(config.CACHE_DIR))
  finally:
    config.CACHE_DIR = before


@functools.cache
def _folder() -> str:
  """Returns the folder, which can be written."""
  try:
    folder = pathlib.Path(_FOLDER).expanduser() / _digest()
    folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK | os.X_OK):
      seal.remove_damaged(folder)
      return str(folder)
  except (OSError, RuntimeError):  # Somebody else's home, or none.
    pass
  temporary = tempfile.TemporaryDirectory(prefix="van_jax_numba_")
  atexit.register(temporary.cleanup)
  return temporary.name


def _digest() -> str:
  sources = sorted(pathlib.Path(__file__).parent.rglob("*.py"))
  content = b"".join(source.read_bytes() for source in sources)
  return hashlib.sha256(content).hexdigest()[:16]
