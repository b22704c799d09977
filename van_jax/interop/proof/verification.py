"""Proof that weights survived: PyTorch and Flax on the same images.

Both run in float32 and are compared with each other, and each with PyTorch in
float64: the two distances to float64 are what rounding alone does.
"""

import functools
import io
from collections.abc import Iterable, Iterator, Mapping
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
from van_jax.interop.proof import comparison, torch_run

OUTPUTS = ("stage1", "stage2", "stage3", "stage4", "logits")


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
  batches = [
    np.array(
      normalization.normalize(
        jnp.asarray(pixels[start : start + batch_size]),
        mean=preprocessing.mean,
        std=preprocessing.std,
      )
    )
    for start in range(0, len(pixels), batch_size)
  ]
  run = functools.partial(torch_run.stages_and_logits, model, arrays)
  outputs, top1 = comparison.compare(
    OUTPUTS,
    run(batches, double=False),
    _flax(model, variables, batches),
    run(batches[:exact_batches], double=True),
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
  difference = comparison.Difference()
  for encoded in images.values():
    ours = centre_crop.preprocess(encoded, preprocessing)
    difference.add(_pixels(encoded, preprocessing), ours)
  return difference.to_json()


def table(report: Mapping[str, Any]) -> str:
  """Returns a report as text for people."""
  levels = report["preprocessing_grey_levels"]
  return "\n".join(
    [
      f"{report['images']} images of {report['image_size']}, the first "
      f"{report['images_in_float64']} in float64 too; absolute differences, "
      "maximum (mean)",
      *comparison.rows(report["outputs"]),
      f"logits: maximum over spread {report['logits_max_over_spread']:.1e}",
      f"top-1 agreement: {report['top1_agreement']:.2%}",
      "pixels, PIL - TensorFlow, grey levels: maximum "
      f"{levels['max']:.0f}, mean {levels['mean']:.5f}",
    ]
  )


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


def _pixels(
  encoded: bytes, preprocessing: preprocessing_lib.Preprocessing
) -> np.ndarray:
  with Image.open(io.BytesIO(encoded)) as image:
    return preprocessing_lib.preprocess_image(image, preprocessing)
