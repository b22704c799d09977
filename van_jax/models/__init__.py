"""The Visual Attention Network and its published variants."""

from van_jax.models.ablations import ABLATIONS, Ablation, create_ablation
from van_jax.models.architectures import architecture, from_architecture
from van_jax.models.attention.lka import LargeKernelAttention, best_dilation
from van_jax.models.attention.lska import LargeSeparableKernelAttention
from van_jax.models.attention.msca import MultiScaleConvAttention
from van_jax.models.attention.table import ATTENTIONS
from van_jax.models.folding import fold_batch_norm
from van_jax.models.heads.fcn import FCNHead
from van_jax.models.heads.semantic_fpn import SemanticFPN
from van_jax.models.heads.table import HEADS
from van_jax.models.heads.upernet import UPerNet
from van_jax.models.segmenter import Segmenter, create_segmenter
from van_jax.models.shapes import variable_shapes
from van_jax.models.van import VAN
from van_jax.models.variants import (
  ALIASES,
  VARIANTS,
  Variant,
  create_model,
  list_models,
  variant_name,
)

__all__ = [
  "ABLATIONS",
  "ALIASES",
  "ATTENTIONS",
  "HEADS",
  "VAN",
  "VARIANTS",
  "Ablation",
  "FCNHead",
  "LargeKernelAttention",
  "LargeSeparableKernelAttention",
  "MultiScaleConvAttention",
  "Segmenter",
  "SemanticFPN",
  "UPerNet",
  "Variant",
  "architecture",
  "best_dilation",
  "create_ablation",
  "create_model",
  "create_segmenter",
  "fold_batch_norm",
  "from_architecture",
  "list_models",
  "variable_shapes",
  "variant_name",
]
