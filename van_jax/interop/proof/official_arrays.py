"""Any file's weights under official names, for the PyTorch model."""

import os
from typing import Any

import numpy as np
from absl import logging

from van_jax import errors, models
from van_jax.interop.assignment import assign
from van_jax.interop.facts import training_config
from van_jax.interop.names import prefixes, segmenters, state_dicts
from van_jax.interop.readers import torch_file, weight_files


def read(
  path: str | os.PathLike[str], *, averaged: bool, backbone_only: bool = False
) -> dict[str, np.ndarray]:
  """Returns a file's weights, float32; a segmenter's as mmsegmentation's.

  Torch's files are read by torch, and official names and layouts are left
  alone: the less of our own reader there is in this, the more it proves.

  Args:
    path: of the file; it has been read by our reader before, so it is safe.
    averaged: take the file's moving average of the weights.
    backbone_only: leave the heads of a segmenter out.
  """
  with weight_files.open_weights(path) as contents:
    weights = state_dicts.find(contents.tree, averaged=averaged)
    assignment = assign.assign(
      weights,
      backbone_only=backbone_only,
      config=training_config.text(contents.tree),
    )
    entries = assignment.entries
    tensors = {}
    if contents.container.startswith("torch"):
      tensors = _torchs(contents, weights)
    found = {
      e.key: torch_file.array(tensors[e.key])
      if tensors
      else weights.tensors[e.key].read()
      for e in entries.values()
    }
  entry_of_path = segmenters.official(
    dense=isinstance(assignment.model, models.Segmenter)
  )
  arrays = {}
  for place, entry in entries.items():
    there = entry_of_path(place)
    array = found[entry.key]
    if entry.array.layout != there.array.layout:
      array = there.array.layout.there(entry.array.layout.here(array))
    arrays[there.key] = np.array(array, np.float32)
  return arrays


def _torchs(
  contents: weight_files.Contents, weights: state_dicts.StateDict
) -> dict[str, Any]:
  """Returns torch's own tensors by key; none if torch refuses the file."""
  found: dict[str, Any] = {}
  for path in contents.files:
    try:
      tree = torch_file.load(path, contents.unknown)
    except errors.UserError as error:
      logging.warning("%s", error)
      return {}
    found |= tree[weights.place] if weights.place else tree
  return {
    key.removeprefix(weights.outer): tensor
    for key, tensor in prefixes.unwrapped(found).items()
    if key.startswith(weights.outer)
  }
