"""What a bundle is in memory."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from van_jax import models
from van_jax.data.images import preprocessing as preprocessing_lib

CLASSIFICATION = "classification"  # The task of bundles that name none.
_SHOWN = 3  # Class names.


@dataclasses.dataclass(frozen=True, repr=False)
class Bundle:
  """A model, its weights, and how to feed it.

  Attributes:
    model: the Flax module.
    variables: {"params", "batch_stats"}, float32 arrays.
    preprocessing: what the weights were trained to be fed with.
    labels: one name a class, or None where they are not known.
    source: where the weights came from; plain JSON values.
    task: what the model's outputs are for, by name.
  """

  model: models.VAN
  variables: dict[str, Any]
  preprocessing: preprocessing_lib.Preprocessing
  labels: tuple[str, ...] | None
  source: dict[str, Any]
  task: str = CLASSIFICATION

  def __repr__(self) -> str:
    """Returns a table of a few lines; no weights."""
    rows = dict(_rows(self))
    width = max(map(len, rows))
    lines = [f"  {name:{width}}  {value}" for name, value in rows.items()]
    return "\n".join(["Bundle", *lines])


def _rows(bundle: Bundle) -> Iterator[tuple[str, str]]:
  """Yields a name and a line for each thing that one asks of a bundle."""
  model, shown = bundle.model, bundle.preprocessing
  name = models.variant_name(model)
  yield "variant", name or f"widths {model.widths}, depths {model.depths}"
  attention = str(model.attention["name"])
  if attention != "lka":
    yield "attention", attention
  leaves = jax.tree.leaves(bundle.variables.get("params", {}))
  number = sum(math.prod(leaf.shape) for leaf in leaves)
  yield "parameters", f"{number:,} ({number / 1e6:.1f} M)"
  yield "classes", _classes(bundle)
  yield "task", bundle.task
  yield "dtype", jnp.dtype(model.dtype).name
  side, mode = shown.image_size, shown.resize_mode.replace("_", " ")
  yield (
    "images",
    f"{side} x {side}: {mode} to {shown.resize_size}, {shown.interpolation}",
  )
  yield "mean, std", f"{shown.mean}, {shown.std}"
  known = ("format", "file", "step")
  parts = [f"{k} {bundle.source[k]}" for k in known if k in bundle.source]
  yield "source", _line(", ".join(parts)) or "unknown"


def _classes(bundle: Bundle) -> str:
  if not bundle.model.num_classes:
    return "none: the model gives features"
  if not bundle.labels:
    return f"{bundle.model.num_classes}, without names"
  names = "; ".join(_line(name) for name in bundle.labels[:_SHOWN])
  more = "; ..." if len(bundle.labels) > _SHOWN else ""
  return f"{bundle.model.num_classes}: {names}{more}"


def _line(text: str) -> str:
  """Returns the beginning of a text, on one line."""
  text = " ".join(text.split())
  return text if len(text) <= 60 else f"{text[:57]}..."
