"""`export.json`: what whoever runs an exported program has to know."""

import importlib.metadata
import json
from collections.abc import Sequence
from typing import Any

from van_jax import bundle as bundle_lib, models
from van_jax.deployment.program import BATCH, IMAGES, INCLUDED, Program

NAME = "export.json"
_FORMAT = "van_jax export"
_VERSION = 1


def describe(
  bundle: bundle_lib.Bundle,
  program: Program,
  *,
  to: str,
  file: str,
  libraries: Sequence[str],
) -> dict[str, Any]:
  """Returns what there is to know of an exported bundle; plain JSON values."""
  included = program.preprocessing == INCLUDED
  return {
    "format": _FORMAT,
    "format_version": _VERSION,
    "to": to,
    "file": file,
    "input": {
      "name": IMAGES,
      "shape": [BATCH, *program.image_shape],
      "axes": "batch, height, width, (r, g, b)",
      "dtype": "uint8" if included else "float32",
      "values": "pixels, 0 to 255"
      if included
      else "(pixels / 255 - mean) / std",
    },
    "output": {
      "name": program.output,
      "shape": [BATCH, program.width],
      "dtype": "float32",
    },
    "preprocessing": bundle.preprocessing.to_json(),
    "in_the_program": ["mean", "std"] if included else [],
    "labels": None if bundle.labels is None else list(bundle.labels),
    "task": bundle.task,
    "architecture": models.architecture(bundle.model),
    "batch_norm_folded": program.folded,
    "source": bundle.source,
    "versions": {name: _version(name) for name in ("van_jax", *libraries)},
  }


def text(fields: dict[str, Any]) -> str:
  """Returns the JSON file's text."""
  return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def _version(package: str) -> str | None:
  """Returns a package's version; TensorFlow's goes by several names."""
  for name in (package, f"{package}_cpu"):
    try:
      return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return None  # A checkout that is not installed.
