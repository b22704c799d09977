"""What layers that are no products add to FLOPs, as VAN's were counted.

The authors' counts, and so the published ones, are mmcv's
`get_model_complexity_info`: beside multiply-adds it has one per bias added,
two per element that goes through a BatchNorm or a LayerNorm, one per element
of a ReLU, and one per element that an adaptive pooling adds up. GELU, gates,
residuals, layer scales, dropout and resizing count nothing.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from van_jax.models.heads.convolution import ConvModule
from van_jax.models.heads.pooling import AdaptiveAveragePool


def additions(module: nn.Module, args: Sequence[Any], result: Any) -> int:
  """Returns what a module's call has by itself, without the modules within.

  Args:
    module: bound, with its parameters.
    args: of its call.
    result: of its call.
  """
  own = module.variables.get("params", {})
  size = sum(leaf.size for leaf in jax.tree.leaves(result))
  if isinstance(module, ConvModule):
    return size if module.activate else 0
  if isinstance(module, AdaptiveAveragePool):
    return args[0].size
  if "scale" in own:  # A norm.
    return 2 * size
  return size if "bias" in own else 0
