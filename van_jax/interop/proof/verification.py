"""Proof that weights survived: PyTorch and Flax on the same images.

Both run in float32 and are compared with each other, and each with PyTorch in
float64: the two distances to float64 are what rounding alone does.
"""

import dataclasses
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from van_jax import errors, models
from van_jax.data.images import (
  centre_crop,
  normalization,
  preprocessing as preprocessing_lib,
)
from van_jax.interop.proof import torch_run

OUTPUTS = ("stage1", "stage2", "stage3", "stage4", "logits")
_PAIRS = (
  ("torch_flax", 0, 1),
  ("torch_float64", 0, 2),
  ("flax_float64", 1, 2),
)


@dataclasses.dataclass
class _Difference:
  """A running comparison of two arrays that come in batches."""

  largest: float = 0.0
  total: float = 0.0
  count: int = 0

  def add(self, a: np.ndarray, b: np.ndarray) -> None:
    """Takes one batch of both in."""
    gap = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))
    # NaN must not get lost: max() of Python would drop it.
    self.largest = float(np.maximum(self.largest, gap.max()))
    self.total += float(gap.sum())
    self.count += gap.size

  def to_json(self) -> dict[str, float]:
    """Returns the maximum and the mean."""
    return {"max": self.largest, "mean": self.total / self.count}


def check(model: models.VAN) -> None:
  """Raises UserError unless the PyTorch VAN can be what the model is."""
  name = model.attention["name"]
  # What the PyTorch units cannot be told, and is LKA's or LSKA's own.
  for field in {"gate", "convs"} & model.attention.keys():
    given = model.attention[field]
    default = getattr(models.ATTENTIONS[name], field)
    if given != default:
      raise errors.UserError(
        f"verify: the weights have attention.{field}={given}, and the PyTorch "
        f"VAN has {default} built in; convert without verify."
      )


def verify(
  model: models.VAN,
  variables: Mapping[str, Any],
  arrays: Mapping[str, np.ndarray],
  *,
  images: Mapping[str, bytes],
  preprocessing: preprocessing_lib.Preprocessing,
  batch_size: int = 4,
  exact_batches: int = 1,
) -> dict[str, Any]:
  """Returns a report of the differences; plain JSON values.

  Args:
    model: the converted VAN.
    variables: its converted weights.
    arrays: the file's weights, under official names.
    images: encoded ones by name.
    preprocessing: that belongs to the weights.
    batch_size: images that are in the networks at once.
    exact_batches: of how many batches to compute in float64, which is slow.
  """
  pixels = np.stack(
    [_pixels(encoded, preprocessing) for encoded in images.values()]
  )
  outputs, top1 = _compare(
    model,
    variables,
    arrays,
    [
      np.array(
        normalization.normalize(
          jnp.asarray(pixels[start : start + batch_size]),
          mean=preprocessing.mean,
          std=preprocessing.std,
        )
      )
      for start in range(0, len(pixels), batch_size)
    ],
    exact_batches,
  )
  spread = outputs["logits"]["spread"]
  return {
    "images": len(pixels),
    "images_in_float64": min(len(pixels), exact_batches * batch_size),
    "image_size": preprocessing.image_size,
    "outputs": outputs,
    "logits_max_over_spread": outputs["logits"]["torch_flax"]["max"] / spread,
    "top1_agreement": top1,
    "preprocessing_grey_levels": compare_pixels(images, preprocessing),
  }


def compare_pixels(
  images: Mapping[str, bytes],
  preprocessing: preprocessing_lib.Preprocessing,
) -> dict[str, float]:
  """Returns how far the pipeline's pixels are from PIL's, in levels of 255."""
  difference = _Difference()
  for encoded in images.values():
    ours = centre_crop.preprocess(encoded, preprocessing)
    difference.add(_pixels(encoded, preprocessing), ours)
  return difference.to_json()


def table(report: Mapping[str, Any]) -> str:
  """Returns a report as text for people."""
  lines = [
    f"{report['images']} images of {report['image_size']}, the first "
    f"{report['images_in_float64']} in float64 too; absolute differences, "
    "maximum (mean)",
    f"{'':8}{'PyTorch - Flax':>22}{'PyTorch - float64':>22}"
    f"{'Flax - float64':>22}{'spread':>10}",
  ]
  for name, output in report["outputs"].items():
    cells = [
      f"{output[pair]['max']:.2e} ({output[pair]['mean']:.1e})"
      for pair, _, _ in _PAIRS
    ]
    row = "".join(f"{cell:>22}" for cell in cells)
    lines.append(f"{name:8}{row}{output['spread']:10.3g}")
  levels = report["preprocessing_grey_levels"]
  return "\n".join(
    [
      *lines,
      f"logits: maximum over spread {report['logits_max_over_spread']:.1e}",
      f"top-1 agreement: {report['top1_agreement']:.2%}",
      "pixels, PIL - TensorFlow, grey levels: maximum "
      f"{levels['max']:.0f}, mean {levels['mean']:.5f}",
    ]
  )


def _compare(
  model: models.VAN,
  variables: Mapping[str, Any],
  arrays: Mapping[str, np.ndarray],
  batches: Sequence[np.ndarray],
  exact_batches: int,
) -> tuple[dict[str, Any], float]:
  """Returns the differences of each output, and the top-1 agreement."""
  differences = {
    (name, pair): _Difference() for name in OUTPUTS for pair, _, _ in _PAIRS
  }
  moments = {name: np.zeros(3) for name in OUTPUTS}  # Count, sum, squares.
  agreed = 0
  runs = itertools.zip_longest(
    torch_run.stages_and_logits(model, arrays, batches, double=False),
    _flax(model, variables, batches),
    torch_run.stages_and_logits(
      model, arrays, batches[:exact_batches], double=True
    ),
  )
  for theirs, ours, exact in runs:
    for i, name in enumerate(OUTPUTS):
      three = (theirs[i], ours[i], *(exact[i : i + 1] if exact else []))
      for pair, first, second in _PAIRS[: 3 if exact else 1]:
        differences[name, pair].add(three[first], three[second])
      wide = theirs[i].astype(np.float64)
      moments[name] += (wide.size, wide.sum(), np.square(wide).sum())
    agreed += int((ours[-1].argmax(-1) == theirs[-1].argmax(-1)).sum())
  outputs = {
    name: {pair: differences[name, pair].to_json() for pair, _, _ in _PAIRS}
    | {"spread": _spread(moments[name])}
    for name in OUTPUTS
  }
  return outputs, agreed / sum(map(len, batches))


def _flax(
  model: models.VAN,
  variables: Mapping[str, Any],
  batches: Iterable[np.ndarray],
) -> Iterator[list[np.ndarray]]:
  """Yields each batch's stage maps, and its logits, as Flax has them."""
  names = ("norm1", "norm2", "norm3", "norm4")  # The stages end with these.

  @jax.jit
  def run(variables, images):
    logits, state = model.apply(
      variables,
      images,
      train=False,
      mutable="intermediates",
      capture_intermediates=lambda module, _: (
        len(module.path) == 1 and module.path[0] in names
      ),
    )
    seen: Any = state["intermediates"]
    return (*(seen[name]["__call__"][0] for name in names), logits)

  variables = jax.device_put(dict(variables))
  for batch in batches:
    yield [np.asarray(output) for output in run(variables, batch)]


def _spread(moments: np.ndarray) -> float:
  """Returns the standard deviation."""
  count, total, squares = moments
  return float(np.sqrt(squares / count - np.square(total / count)))


def _pixels(
  encoded: bytes, preprocessing: preprocessing_lib.Preprocessing
) -> np.ndarray:
  with Image.open(io.BytesIO(encoded)) as image:
    return preprocessing_lib.preprocess_image(image, preprocessing)
