"""The Visual Attention Network (arXiv 2202.09741) in JAX.

Models:
  create_model: a VAN by name, with other fields as given.
  list_models: the names that `create_model` takes.
  VAN: the Flax module; its docstring has all fields.
  create_segmenter: a VAN with a head that gives every pixel its class.
  Segmenter: its Flax module.

Weights:
  load_bundle: weights, their model, labels and preprocessing, from a folder.
  load_backbone: the same without the head: a model that gives features.
  load_pretrained: the same of released weights, by name; fetched once.
  list_pretrained: those names, with their published scores.
  save_bundle: writes such a folder.
  Bundle: what these give and take.
  predict: the likeliest classes of an image, or a segmenter's mask.

Training:
  fit: trains a model on arrays, a folder or a named data set.
  sweep: several variants, several seeds each, and a table of their scores.
  Fit: what `fit` returns.
  Sweep: what `sweep` returns.
  read_history: what a run of train.py has measured at each step, as arrays.

  bundle = van_jax.load_bundle("bundles/van_b0")
  van_jax.predict(bundle, "cat.jpg")
"""

from van_jax.bundle import (
  Bundle,
  load_backbone,
  load_bundle,
  predict,
  save_bundle,
)
from van_jax.lab import Fit, Sweep, fit, sweep
from van_jax.models import (
  VAN,
  Segmenter,
  create_model,
  create_segmenter,
  list_models,
)
from van_jax.released import list_pretrained, load_pretrained
from van_jax.training.run.history import read_history

__all__ = [
  "VAN",
  "Bundle",
  "Fit",
  "Segmenter",
  "Sweep",
  "create_model",
  "create_segmenter",
  "fit",
  "list_models",
  "list_pretrained",
  "load_backbone",
  "load_bundle",
  "load_pretrained",
  "predict",
  "read_history",
  "save_bundle",
  "sweep",
]
