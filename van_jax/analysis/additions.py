"""What biases and norms add to a layer's multiply-adds, as VAN's FLOPs count.

One per bias added and two per element that goes through a BatchNorm or a
LayerNorm; that rule gives every figure that was published for VAN.
"""

from typing import Any

import flax.linen as nn
import jax


def additions(module: nn.Module, result: Any) -> int:
  """Returns what a module's call has by itself, without the modules within.

  Args:
    module: bound, with its parameters.
    result: of its call.
  """
  own = module.variables.get("params", {})
  size = sum(leaf.size for leaf in jax.tree.leaves(result))
  if "scale" in own:  # A norm.
    return 2 * size
  return size if "bias" in own else 0
