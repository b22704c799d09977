"""Heads by name, and what a segmenter's fields may say of them."""

import flax.linen as nn

from van_jax.models import chosen
from van_jax.models.heads.fcn import FCNHead
from van_jax.models.heads.semantic_fpn import SemanticFPN
from van_jax.models.heads.upernet import UPerNet

HEADS: dict[str, type[nn.Module]] = {
  "fcn": FCNHead,
  "fpn": SemanticFPN,
  "upernet": UPerNet,
}

_BOUND = ("num_classes", "norm", "remat", "implementation", "dtype")

HEAD = chosen.Choice("head", HEADS, _BOUND)
AUXILIARY = chosen.Choice("auxiliary", HEADS, _BOUND)
