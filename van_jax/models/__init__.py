"""The Visual Attention Network and its published variants."""

from van_jax.models.attention.lka import LargeKernelAttention
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
  "ALIASES",
  "ATTENTIONS",
  "VAN",
  "VARIANTS",
  "LargeKernelAttention",
  "LargeSeparableKernelAttention",
  "MultiScaleConvAttention",
  "Variant",
  "architecture",
  "create_model",
  "fold_batch_norm",
  "from_architecture",
  "list_models",
  "variable_shapes",
  "variant_name",
]
