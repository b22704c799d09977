"""The Visual Attention Network and its published variants."""

from van_jax.models.ablations import ABLATIONS, Ablation, create_ablation
from van_jax.models.attention.lka import LargeKernelAttention, best_dilation
from van_jax.models.attention.lska import LargeSeparableKernelAttention
from van_jax.models.attention.msca import MultiScaleConvAttention
from van_jax.models.attention.table import ATTENTIONS
from van_jax.models.folding import fold_batch_norm
from van_jax.models.shapes import variable_shapes
from van_jax.models.van import VAN
from van_jax.models.variants import (
  ALIASES,
  VARIANTS,
  Variant,
  architecture,
  create_model,
  from_architecture,
  list_models,
  variant_name,
)

__all__ = [
  "ABLATIONS",
  "ALIASES",
  "ATTENTIONS",
  "VAN",
  "VARIANTS",
  "Ablation",
  "LargeKernelAttention",
  "LargeSeparableKernelAttention",
  "MultiScaleConvAttention",
  "Variant",
  "architecture",
  "best_dilation",
  "create_ablation",
  "create_model",
  "fold_batch_norm",
  "from_architecture",
  "list_models",
  "variable_shapes",
  "variant_name",
]
