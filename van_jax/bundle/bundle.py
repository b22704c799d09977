"""What a bundle is in memory."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp

from van_jax import errors, models
from van_jax.data.images import (
  dense_preprocessing,
  preprocessing as preprocessing_lib,
)

CLASSIFICATION = "classification"  # The task of bundles that name none.
SEGMENTATION = "segmentation"
_SHOWN = 3  # Class names.

# Bundle[VAN] or Bundle[Segmenter]; what is read from a file is Bundle[Any].
Model_co = TypeVar("Model_co", covariant=True)


@dataclasses.dataclass(frozen=True, repr=False)
class Bundle(Generic[Model_co]):
  """A model, its weights, and how to feed it.

  Attributes:
    model: the Flax module, a VAN or a Segmenter.
    variables: {"params", "batch_stats"}, float32 arrays.
    preprocessing: what the weights were trained to be fed with: Preprocessing
      of a VAN, DensePreprocessing of a Segmenter.
    labels: one name a class, or None where they are not known.
    source: where the weights came from; plain JSON values.
    task: what the model's outputs are for, by name.
    colors: one a class for pictures of masks, (r, g, b) of 0 to 255, or None;
      of a Segmenter alone.
  """

  model: Model_co
  variables: dict[str, Any]
  preprocessing: Any
  labels: tuple[str, ...] | None
  source: dict[str, Any]
  task: str = CLASSIFICATION
  colors: tuple[tuple[int, int, int], ...] | None = None

  def __repr__(self) -> str:
    """Returns a table of a few lines; no weights."""
    rows = dict(_rows(self))
    width = max(map(len, rows))
    lines = [f"  {name:{width}}  {value}" for name, value in rows.items()]
    return "\n".join(["Bundle", *lines])


def check_of_van(bundle: Bundle, what: str) -> None:
  """Raises UserError for a segmenter, where a VAN alone makes sense.

  Args:
    bundle: any.
    what: is wanted of it: "an export", say.
  """
  if isinstance(bundle.model, models.Segmenter):
    raise errors.UserError(
      f"bundle.task={bundle.task}: {what} is made of a classifier or a "
      "backbone; load the segmenter's backbone alone, with load_backbone."
    )


def _rows(bundle: Bundle) -> Iterator[tuple[str, str]]:
  """Yields a name and a line for each thing that one asks of a bundle."""
  van, shown = bundle.model, bundle.preprocessing
  dense = isinstance(van, models.Segmenter)
  if dense:
    van = van.backbone
  name = models.variant_name(van)
  yield "variant", name or f"widths {van.widths}, depths {van.depths}"
  attention = str(van.attention["name"])
  if attention != "lka":
    yield "attention", attention
  if dense:
    yield "head", str(bundle.model.head["name"])
    if second := bundle.model.auxiliary:
      yield "auxiliary", f"{second['name']}, in training"
  leaves = jax.tree.leaves(bundle.variables.get("params", {}))
  number = sum(math.prod(leaf.shape) for leaf in leaves)
  yield "parameters", f"{number:,} ({number / 1e6:.1f} M)"
  yield "classes", _classes(bundle)
  yield "task", bundle.task
  yield "dtype", jnp.dtype(van.dtype).name
  yield "images", _whole(shown) if dense else _square(shown)
  yield "mean, std", f"{shown.mean}, {shown.std}"
  known = ("format", "file", "step")
  parts = [f"{k} {bundle.source[k]}" for k in known if k in bundle.source]
  yield "source", _line(", ".join(parts)) or "unknown"


def _square(shown: preprocessing_lib.Preprocessing) -> str:
  side, mode = shown.image_size, shown.resize_mode.replace("_", " ")
  return (
    f"{side} x {side}: {mode} to {shown.resize_size}, {shown.interpolation}"
  )


def _whole(shown: dense_preprocessing.DensePreprocessing) -> str:
  scale = "as they are"
  if shown.scale is not None:
    scale = "as fit into {} x {}".format(*shown.scale)
  return f"whole, {scale}, sides multiples of {shown.multiple}"


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
