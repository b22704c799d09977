"""Opens a file of weights, or its shards, whatever program wrote it."""

import collections
import contextlib
import dataclasses
import os
import pathlib
import pickle
from collections.abc import Iterator, Mapping
from typing import IO, Any

from van_jax import errors, storage
from van_jax.interop.readers import (
  numpy_arrays,
  pickles,
  safetensors_file,
  shards,
  torch_legacy,
  torch_zip,
)

_HEAD_BYTES = 512


@dataclasses.dataclass(frozen=True)
class Contents:
  """What is in a file.

  Attributes:
    container: "torch zip", "torch legacy", "pickle" or "safetensors".
    tree: plain values, with `tensors.Tensor` for tensors still in the file.
    path: of the file; of an index, where there are shards.
    files: those with the weights: the file itself, or all shards.
    unknown: how often each class came that is not rebuilt.
  """

  container: str
  tree: Any
  path: pathlib.Path
  files: tuple[pathlib.Path, ...]
  unknown: Mapping[str, int]

  @property
  def bytes(self) -> int:
    """Of all files."""
    return sum(map(os.path.getsize, self.files))


@contextlib.contextmanager
def open_weights(path: str | os.PathLike[str]) -> Iterator[Contents]:
  """Yields what a file holds; its tensors can be read inside the context.

  Args:
    path: of the file, of an index of shards, or of the folder of either.

  Raises:
    UserError: if there is no such file.
    UserError: if the file is damaged, refused, or of no format known here.
  """
  path = pathlib.Path(storage.absolute(path))
  if path.is_dir():
    path = shards.in_folder(path)
  if not path.exists():
    raise errors.UserError(
      f"{path}: No such file; give the path of a file of weights."
    )
  files = shards.listed(path) if shards.is_index(path) else (path,)
  unknown = collections.Counter()
  tree: Any = {}
  with contextlib.ExitStack() as stack:
    for file in files:
      container, part = _opened(file, unknown, stack)
      tree = part if len(files) == 1 else _merged(tree, part, file)
    yield Contents(container, tree, path, files, unknown)


def _opened(
  path: pathlib.Path,
  unknown: collections.Counter[str],
  stack: contextlib.ExitStack,
) -> tuple[str, Any]:
  try:
    file = stack.enter_context(path.open("rb"))
    head = file.read(_HEAD_BYTES)
  except OSError as error:
    raise errors.UserError(
      f"{path} cannot be read: {error.strerror}; give a file that can."
    ) from error
  file.seek(0)
  try:
    return _read(path, file, head, unknown, stack)
  except errors.UserError as error:
    refused = isinstance(error, pickles.RefusedError)
    kind = pickles.RefusedError if refused else errors.UserError
    raise kind(f"{path}: {error}") from error


def _merged(tree: dict, part: Any, path: pathlib.Path) -> dict[Any, Any]:
  if not isinstance(part, dict) or part.keys() & tree.keys():
    raise errors.UserError(
      f"{path} is no shard: it holds no weights by name, or some that another "
      "shard has; fetch all shards again."
    )
  return tree | part


def _read(
  path: pathlib.Path,
  file: IO[bytes],
  head: bytes,
  unknown: collections.Counter[str],
  stack: contextlib.ExitStack,
) -> tuple[str, Any]:
  _check_not_text(head)
  if head.startswith(b"PK"):
    return "torch zip", torch_zip.read(file, unknown, path.name)
  if torch_legacy.is_legacy(head):
    return "torch legacy", torch_legacy.read(file, unknown)
  if safetensors_file.is_safetensors(head):
    tree = stack.enter_context(safetensors_file.opened(path))
    return "safetensors", tree
  if head.startswith(pickle.PROTO):
    names = numpy_arrays.names()
    return "pickle", pickles.load(file, names=names, unknown=unknown)
  raise errors.UserError(
    "no format known here starts like this file; give a .pth, .pth.tar, .ckpt, "
    ".bin, .safetensors or .pdparams."
  )


def _check_not_text(head: bytes) -> None:
  """Raises UserError for what is often found in the place of weights."""
  text = head.lstrip().lower()
  if not head:
    raise errors.UserError("the file is empty; fetch it again.")
  if text.startswith((b"<!doctype", b"<html", b"<?xml")):
    raise errors.UserError(
      "this is a web page, an error message perhaps, saved under the name of "
      "the weights; open it to see, and fetch the file again."
    )
  if text.startswith(b"version https://git-lfs"):
    raise errors.UserError(
      "this is a pointer of Git LFS, not the weights; run 'git lfs pull'."
    )
