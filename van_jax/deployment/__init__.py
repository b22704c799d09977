"""A bundle as a program that others run: StableHLO, SavedModel, ONNX.

  export_bundle(bundle, "exported/b0", to="onnx")

Weights alone, in files of other projects' code, are `van_jax.interop`'s.
"""

from van_jax.deployment.export import export_bundle
from van_jax.deployment.formats import FORMATS

__all__ = ["FORMATS", "export_bundle"]
