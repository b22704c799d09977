"""Opens a file of weights, whatever program wrote it."""

import contextlib
import dataclasses
import os
import pathlib
import pickle
from collections.abc import Iterator
from typing import IO, Any

from van_jax import errors, storage
from van_jax.interop.readers import (
  pickles,
  safetensors_file,
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
  """

  container: str
  tree: Any


@contextlib.contextmanager
def open_weights(path: str | os.PathLike[str]) -> Iterator[Contents]:
  """Yields what a file holds; its tensors can be read inside the context.

  Raises:
    UserError: if there is no such file.
    UserError: if the file is damaged, refused, or of no format known here.
  """
  path = pathlib.Path(storage.absolute(path))
  if path.is_dir():
    raise errors.UserError(
      f"{path} is a folder; give the file of weights in it, such as "
      "model.safetensors. Of a bundle or a training workdir, say which format "
      "to write (--to)."
    )
  if not path.exists():
    raise errors.UserError(
      f"{path}: No such file; give the path of a file of weights."
    )
  with path.open("rb") as file:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    with contextlib.ExitStack() as stack:
      try:
        contents = _read(path, file, head, stack)
      except ValueError as error:
        refused = isinstance(error, pickles.RefusedError)
        kind = pickles.RefusedError if refused else errors.UserError
        raise kind(f"{path}: {error}") from error
      yield contents


def _read(
  path: pathlib.Path,
  file: IO[bytes],
  head: bytes,
  stack: contextlib.ExitStack,
) -> Contents:
  _check_not_text(head)
  if head.startswith(b"PK"):
    return Contents("torch zip", torch_zip.read(file))
  if head.startswith(torch_legacy.MAGIC):
    return Contents("torch legacy", torch_legacy.read(file))
  if safetensors_file.is_safetensors(head):
    tree = stack.enter_context(safetensors_file.opened(path))
    return Contents("safetensors", tree)
  if head.startswith(pickle.PROTO):
    names = pickles.numpy_names()
    return Contents("pickle", pickles.load(file, names=names))
  raise errors.UserError(
    "no format known here starts like this file; give a .pth, .pth.tar, .bin, "
    ".safetensors or .pdparams."
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
