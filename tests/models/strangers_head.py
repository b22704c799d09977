"""A head that van_jax knows nothing of: all that one has to write."""

from typing import Any

import flax.linen as nn
import jax


class LinearHead(nn.Module):
  """Classifies the first map as it is."""

  stage: int = 1
  num_classes: int = 0
  dtype: Any = None

  @nn.compact
  def __call__(self, maps: Any, *, train: bool) -> jax.Array:
    """Maps the stages' [B, Hs, Ws, Cs] to logits, [B, H1, W1, K]."""
    return nn.Dense(self.num_classes, name="classes")(maps[self.stage - 1])
