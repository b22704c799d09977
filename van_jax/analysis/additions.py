"""What biases and norms add to a layer's multiply-adds, as VAN's FLOPs count.

One per bias added and two per element that goes through a BatchNorm or a
LayerNorm; that rule gives every figure that was published for VAN.
"""

from typing import Any

import flax.linen as nn


def additions(module: nn.Module, result: Any) -> int:
  """Returns what a module's call has by itself, without the modules within.

  Args:
    module: bound, with its parameters.
    result: of its call.
  """
  own = module.variables.get("params", {})
  if "scale" in own:  # A norm.
    return 2 * result.size
  return result.size if "bias" in own else 0
