"""Operations with one door each and one implementation a platform."""

from van_jax.ops.depthwise import depthwise_conv, list_implementations
from van_jax.ops.pointwise import pointwise_conv

__all__ = ["depthwise_conv", "list_implementations", "pointwise_conv"]
