"""The network that the GPU benchmark runs: its fields, weights and images.

A job is a dict: model, size (pixels a side), and small, by which the network
is a tiny one of the same kind, for dry runs.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from van_jax import models

_SMALL = {"widths": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "num_classes": 10}
DROP_PATH = 0.1  # Of the recipe, in training.


def flax_model(job: Mapping[str, Any], **fields: Any) -> models.VAN:
  """Returns ours, with other fields as given."""
  return models.create_model(
    job["model"], **(_SMALL if job["small"] else {}), **fields
  )


def torch_model(job: Mapping[str, Any], **fields: Any) -> Any:
  """Returns PyTorch's, with other fields as given."""
  from van_jax.interop.proof import torch_van

  same = flax_model(job)
  return torch_van.TorchVAN(
    same.widths,
    same.depths,
    same.ffn_ratios,
    num_classes=same.num_classes,
    **fields,
  )


def weights(model: models.VAN, seed: int = 0) -> dict[str, Any]:
  """Returns variables drawn by NumPy: no program is compiled for them.

  None of them has the value that it has before training, so that a bias or a
  running mean which is left out is seen.
  """
  draw = np.random.default_rng(seed)

  def leaf(path, shape):
    name = path[-1].key
    normal = draw.standard_normal(shape.shape, np.float32)
    if name == "kernel":
      inputs = np.prod(shape.shape[:-1])
      return normal * np.float32(inputs**-0.5)
    if name in ("scale", "var"):
      return 1 + np.float32(0.2) * np.abs(normal)
    if name.startswith("layer_scale"):
      return np.float32(0.3) * (1 + np.float32(0.2) * normal)
    return np.float32(0.2) * normal

  return jax.tree_util.tree_map_with_path(leaf, models.variable_shapes(model))


def under_torch_names(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Returns variables, or gradients below "params", as PyTorch has them."""
  from van_jax.interop.assignment import arrays
  from van_jax.interop.names import segmenters

  return arrays.write(variables, segmenters.official(dense=False), count=0)


def images(job: Mapping[str, Any], batch: int) -> np.ndarray:
  """Returns normalised ones, float32 [batch, size, size, 3]."""
  shape = (batch, job["size"], job["size"], 3)
  return np.random.default_rng(1).standard_normal(shape, np.float32)


def labels(classes: int, batch: int) -> np.ndarray:
  """Returns a class for each image, int32 [batch]."""
  return np.arange(batch, dtype=np.int32) % classes
