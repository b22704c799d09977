"""Attentions by name, and what a model's `attention` field may say of them."""

import flax.linen as nn

from van_jax.models import chosen
from van_jax.models.attention.lka import LargeKernelAttention
from van_jax.models.attention.lska import LargeSeparableKernelAttention
from van_jax.models.attention.msca import MultiScaleConvAttention

ATTENTIONS: dict[str, type[nn.Module]] = {
  "lka": LargeKernelAttention,
  "lska": LargeSeparableKernelAttention,
  "msca": MultiScaleConvAttention,
}

CHOICE = chosen.Choice(
  "attention",
  ATTENTIONS,
  bound=("depthwise", "pointwise", "dtype", "implementation"),
)

described = CHOICE.described
module_class = CHOICE.module_class
make = CHOICE.make
label = CHOICE.label
as_dict = CHOICE.as_dict
