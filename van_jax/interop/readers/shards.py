"""Hugging Face's folders: one file of weights, or an index and its shards."""

import pathlib

from van_jax import errors, storage
from van_jax.interop.readers import excerpts

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE = ("model.safetensors", "pytorch_model.bin")
_MAX_INDEX = 64 << 20  # Bytes; a name of weights takes a hundred.


def in_folder(folder: pathlib.Path) -> pathlib.Path:
  """Returns the file of weights in a folder, or the index of its shards.

  Raises:
    UserError: if there is none.
  """
  for name in SINGLE + INDEXES:
    if (folder / name).is_file():
      return folder / name
  raise errors.UserError(
    f"{folder} is a folder without {', '.join(SINGLE)} or their index; give "
    "the file of weights in it. Of a bundle or a training workdir, say which "
    "format to write (--to)."
  )


def is_index(path: pathlib.Path) -> bool:
  """Returns whether a file lists shards."""
  return path.name.endswith(".index.json")


def listed(index: pathlib.Path) -> tuple[pathlib.Path, ...]:
  """Returns the shards that an index lists.

  Raises:
    UserError: if it is damaged, names a file that is not beside it, or one
      that is missing.
  """
  try:
    if index.stat().st_size > _MAX_INDEX:
      raise ValueError("it is too long")
    files = storage.read_json(index)["weight_map"]
    names = sorted(set(files.values()))
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise errors.UserError(
      f"{index} must be an index of shards, with a weight_map: "
      f"{excerpts.excerpt(str(error))}; fetch it again."
    ) from error
  for name in names:
    if not isinstance(name, str) or not _is_beside(name):
      raise errors.UserError(
        f"{index} names {excerpts.excerpt(name)}, which is no file of its own "
        "folder; get the weights from a source that you trust."
      )
    if not (index.parent / name).is_file():
      raise errors.UserError(
        f"{index} lists {excerpts.excerpt(name)}, and it is missing; fetch all "
        f"of its {len(names)} files."
      )
  if not names:
    raise errors.UserError(f"{index} lists no file; fetch it again.")
  return tuple(index.parent / name for name in names)


def _is_beside(name: str) -> bool:
  """Returns whether a name cannot lead out of a folder."""
  return (
    bool(name)
    and name not in (".", "..")
    and not set(name) & set("/\\:\0")
    and name.isprintable()
  )
