"""Paths whose operations are tried again while their errors pass."""

import os
from collections.abc import Callable, Iterator
from typing import Any

from etils import epath

from van_jax.retrying import passing
from van_jax.retrying.calls import call

_Plain: Any = type(epath.Path("/"))


def path(plain: str | os.PathLike[str]) -> epath.Path:
  """Returns a path whose operations are tried again while their errors pass.

  Whoever is given it, Orbax too, has all paths in it of this kind. What is
  written or read in pieces, through `open`, is not tried again.

  Args:
    plain: of a local file or of an object store (gs://...).
  """
  made = epath.Path(plain)
  return _RetriedPath(made) if type(made) is _Plain else made


def _is_there(error: OSError) -> bool:
  return isinstance(error, FileExistsError)


def _is_gone(error: OSError) -> bool:
  return isinstance(error, FileNotFoundError)


class _RetriedPath(_Plain):
  """See `path`."""

  def _retried(
    self,
    name: str,
    *arguments: Any,
    done_if: Callable[[OSError], bool] = lambda error: False,
    **options: Any,
  ) -> Any:
    function = getattr(super(), name)
    return call(
      lambda: function(*arguments, **options),
      f"{name} of {self}",
      done_if=done_if,
    )

  def exists(self) -> bool:
    self._reach()
    return self._retried("exists")

  def is_dir(self) -> bool:
    self._reach()
    return self._retried("is_dir")

  def _reach(self) -> None:
    """Waits until a file system says whether it has this path.

    Python takes every error for a no: a run whose disk stumbled would be taken
    for one that has no checkpoint yet.
    """
    path = os.fspath(self)
    if "://" in path:
      return
    try:
      call(lambda: os.stat(path), f"stat of {path}")
    except (OSError, ValueError) as error:
      if passing.is_passing(error):
        raise

  def iterdir(self) -> Iterator["_RetriedPath"]:
    function = super().iterdir
    return iter(call(lambda: list(function()), f"iterdir of {self}") or ())

  def glob(self, pattern: str) -> Iterator["_RetriedPath"]:
    function = super().glob
    return iter(call(lambda: list(function(pattern)), f"glob of {self}") or ())

  def stat(self) -> Any:
    return self._retried("stat")

  def open(self, *arguments: Any, **options: Any) -> Any:
    return self._retried("open", *arguments, **options)

  def read_text(self, *arguments: Any, **options: Any) -> str:
    return self._retried("read_text", *arguments, **options)

  def read_bytes(self) -> bytes:
    return self._retried("read_bytes")

  def write_text(self, *arguments: Any, **options: Any) -> int:
    return self._retried("write_text", *arguments, **options)

  def write_bytes(self, data: bytes) -> int:
    return self._retried("write_bytes", data)

  def copy(self, *arguments: Any, **options: Any) -> Any:
    return self._retried("copy", *arguments, **options)

  def mkdir(self, *arguments: Any, **options: Any) -> None:
    self._retried("mkdir", *arguments, **options, done_if=_is_there)

  def unlink(self, *arguments: Any, **options: Any) -> None:
    self._retried("unlink", *arguments, **options, done_if=_is_gone)

  def rmtree(self, *arguments: Any, **options: Any) -> None:
    self._retried("rmtree", *arguments, **options, done_if=_is_gone)

  def rename(self, target: Any) -> Any:
    self._retried("rename", target, done_if=self._has_left)
    return type(self)(target)

  def replace(self, target: Any) -> Any:
    self._retried("replace", target, done_if=self._has_left)
    return type(self)(target)

  def _has_left(self, error: OSError) -> bool:
    """Returns whether a second renaming fails because the first did not."""
    return _is_gone(error) or (_is_there(error) and not self.exists())
