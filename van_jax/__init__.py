"""The Visual Attention Network (arXiv 2202.09741) in JAX."""

from van_jax.bundle import Bundle, load_bundle, predict, save_bundle
from van_jax.models import VAN, create_model, list_models
from van_jax.released import list_pretrained, load_pretrained

__all__ = [
  "VAN",
  "Bundle",
  "create_model",
  "list_models",
  "list_pretrained",
  "load_bundle",
  "load_pretrained",
  "predict",
  "save_bundle",
]
