"""`bundle.json`: what a bundle says of itself, and in which version.

Version 1 had no "task", and the attention's fields beside the architecture's
others. Version 3 is a segmenter's: its architecture has "backbone", "head" and
"auxiliary", and there are "colors"; a VAN's is version 2, as it was before. A
version is read by every later program, and refused by earlier ones.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from etils import epath

from van_jax import errors, storage
from van_jax.bundle.bundle import CLASSIFICATION

NAME = "bundle.json"
FORMAT = "van_jax bundle"
FORMAT_VERSION = 3
_VERSION_OF_A_VAN = 2
_FIELDS = (
  "architecture",
  "labels",
  "preprocessing",
  "source",
  "weights_sha256",
)


def is_bundle(path: str | os.PathLike[str]) -> bool:
  """Returns whether `path` is a folder that says it is a bundle."""
  return (storage.absolute(path) / NAME).exists()


def write(folder: epath.Path, fields: Mapping[str, Any]) -> None:
  """Writes a bundle's JSON, of the oldest version that can say it."""
  dense = "backbone" in fields["architecture"]
  number = FORMAT_VERSION if dense else _VERSION_OF_A_VAN
  version = {"format": FORMAT, "format_version": number}
  text = json.dumps({**version, **fields}, indent=2, ensure_ascii=False)
  (folder / NAME).write_text(f"{text}\n", encoding="utf-8")


def read(folder: epath.Path) -> dict[str, Any]:
  """Returns the fields of a bundle's JSON, of any version up to ours.

  Raises:
    UserError: if there is none.
    UserError: if it is damaged, or of a newer version.
  """
  if not (folder / NAME).exists():
    raise errors.UserError(
      f"{folder} is not a bundle: it has no {NAME}; {_remedy(folder)}."
    )
  try:
    fields = json.loads((folder / NAME).read_text(encoding="utf-8"))
    kind, version = fields["format"], fields["format_version"]
  except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
    raise damaged(folder, f"{NAME} cannot be read: {error!r}") from error
  if kind != FORMAT or not isinstance(version, int):
    raise errors.UserError(
      f"{folder} says that it is {kind!r}, version {version!r}, and this "
      f"program reads {FORMAT!r}, versions 1 to {FORMAT_VERSION}; name a "
      "bundle of van_jax."
    )
  if version > FORMAT_VERSION:
    raise errors.UserError(
      f"{folder} is a bundle of format version {version}, and this van_jax "
      f"reads versions up to {FORMAT_VERSION}; install a newer van_jax."
    )
  if missing := sorted(set(_FIELDS) - fields.keys()):
    raise damaged(folder, f"{NAME} has no {', '.join(missing)}")
  return {"task": CLASSIFICATION, "colors": None, **fields}


def _remedy(folder: epath.Path) -> str:
  """Returns what to name instead of a folder that is no bundle."""
  if is_bundle(folder / "bundle"):  # As a training run leaves it.
    return f"name {folder / 'bundle'}, which is one"
  if (folder / "checkpoints").exists():
    return (
      "it holds a training run that has not ended, whose weights "
      "van_jax.experiment.load_weights reads; its bundle comes at the end"
    )
  return (
    "make one with convert_torch_weights.py, or by exporting a training run"
  )


def damaged(folder: epath.Path, what: str) -> errors.UserError:
  """Returns the error that says what is wrong with a bundle."""
  return errors.UserError(
    f"{folder} is damaged: {what}; copy it again, or write it anew."
  )
