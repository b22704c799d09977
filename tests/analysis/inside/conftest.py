"""A network made by hand, and modules around a VAN, to look into."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import models

_UNIT_VARIANCE = 1 - 1e-5  # With BatchNorm's epsilon it divides by 1.


class Pixelwise(nn.Module):
  """A dense head over a VAN: logits at every position of the last stage."""

  backbone: models.VAN
  classes: int = 2

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, 3] to [B, h, w, classes]."""
    return nn.Dense(self.classes, name="head")(self.backbone.features(x)[-1])


@pytest.fixture(scope="session")
def pixelwise():
  """Returns the class of a module around a VAN."""
  return Pixelwise


@pytest.fixture(scope="session")
def make_small():
  """Returns a function from fields to a small VAN and its variables."""

  def make(**fields: Any):
    options = {
      "widths": (4, 4, 4, 4),
      "depths": (1, 1, 1, 1),
      "ffn_ratios": (1, 1, 1, 1),
      "num_classes": 3,
      "layer_scale_init": 1.0,
      "implementation": "xla",
    }
    model = models.VAN(**{**options, **fields})
    shapes = models.variable_shapes(model)
    generator = np.random.default_rng(0)

    def drawn(path, leaf):
      name = path[-1].key
      if name in ("var", "scale") or name.startswith("layer_scale"):
        return jnp.ones(leaf.shape)
      return jnp.asarray(0.5 * generator.standard_normal(leaf.shape, "f"))

    return model, jax.tree_util.tree_map_with_path(drawn, shapes)

  return make


@pytest.fixture(scope="session")
def make_hand_made():
  """Returns a function from an attention to a network whose maps are known.

  Embeddings take each stride-th pixel, blocks add nothing to what goes through
  them, and stages are normed over the three channels. An attention sees
  gelu of its stage's map through depthwise kernels that are all zero but for
  the taps that a test sets.
  """

  def make(attention: Any = "lka", taps: Any = None, **fields: Any):
    model = models.VAN(
      (3,) * 4,
      (1,) * 4,
      (1,) * 4,
      attention=attention,
      implementation="xla",
      **{"num_classes": 2, **fields},
    )

    def made(path, leaf):
      value = np.zeros(leaf.shape, np.float32)
      *_, layer, name = (key.key for key in path)
      if name == "var":
        value[...] = _UNIT_VARIANCE
      elif name == "scale":
        value[...] = 1
      elif name == "kernel" and layer in (taps or {}):
        value[taps[layer]] = 1
      elif name == "kernel" and layer in ("proj", "proj_1", "conv1", "conv3"):
        height, width = leaf.shape[:2]
        value[height // 2, width // 2] = np.eye(3)
      return value

    shapes = models.variable_shapes(model)
    return model, jax.tree_util.tree_map_with_path(made, shapes)

  return make
