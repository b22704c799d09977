"""The Visual Attention Network (arXiv 2202.09741) in JAX."""

from van_jax.bundle import Bundle, load_bundle, predict, save_bundle
from van_jax.models import VAN, create_model, list_models
from van_jax.training.run.history import read_history

__all__ = [
  "VAN",
  "Bundle",
  "create_model",
  "list_models",
  "load_bundle",
  "predict",
  "read_history",
  "save_bundle",
]
