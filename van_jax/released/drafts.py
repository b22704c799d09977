"""What has come of a file, and which version of the file it is a part of."""

import json
import pathlib
from typing import Any

from van_jax import storage


def size(path: pathlib.Path) -> int:
  """Returns the bytes that are there."""
  try:
    return path.stat().st_size
  except OSError:
    return 0


def forget(draft: pathlib.Path) -> None:
  """Removes a draft."""
  draft.unlink(missing_ok=True)
  _version_path(draft).unlink(missing_ok=True)


def keep_version(draft: pathlib.Path, response: Any) -> None:
  """Writes what tells the version of an answer's file from another."""
  tag = response.headers.get("ETag", "")
  if not tag or tag.startswith("W/"):  # A weak one may not be sent back.
    tag = response.headers.get("Last-Modified", "")
  _version_path(draft).write_text(json.dumps(tag), encoding="utf-8")


def version(draft: pathlib.Path) -> str:
  """Returns it, as If-Range wants it; "" where none was told."""
  try:
    tag = storage.read_json(_version_path(draft))
  except (OSError, ValueError):
    return ""
  fine = isinstance(tag, str) and tag.isprintable() and tag.isascii()
  return tag if fine else ""


def _version_path(draft: pathlib.Path) -> pathlib.Path:
  return draft.with_name(f"{draft.name}.tag")
