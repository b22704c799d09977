"""The bundle: a folder with a model's weights and all one needs to use them.

A bundle holds `weights/`, an Orbax checkpoint of the float32 variables, and
`bundle.json`, which a person can read: the whole architecture, the task, the
class names, the preprocessing that these weights were trained for, where they
came from, and the SHA-256 of every file of weights, so that damage is found,
not evaluated.

  bundle = load_bundle("bundles/van_b0")
  logits = bundle.model.apply(bundle.variables, images, train=False)
"""

from van_jax.bundle.bundle import Bundle
from van_jax.bundle.description import is_bundle
from van_jax.bundle.load import load_backbone, load_bundle
from van_jax.bundle.prediction import Prediction, predict
from van_jax.bundle.save import (
  check_destination,
  check_model,
  check_van,
  save_bundle,
)

__all__ = [
  "Bundle",
  "Prediction",
  "check_destination",
  "check_model",
  "check_van",
  "is_bundle",
  "load_backbone",
  "load_bundle",
  "predict",
  "save_bundle",
]
