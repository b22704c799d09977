"""The Visual Attention Network (arXiv 2202.09741) in JAX."""

from van_jax.bundle import (
  Bundle as Bundle,
  load_bundle as load_bundle,
  predict as predict,
  save_bundle as save_bundle,
)
from van_jax.models import (
  VAN as VAN,
  create_model as create_model,
  list_models as list_models,
)
