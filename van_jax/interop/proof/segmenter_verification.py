"""Proof that a segmenter's weights survived: as `verification`, for its maps.

Each image has the size that the network sees in tests, and is a batch alone.
"""

import functools
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from van_jax import models
from van_jax.data.images import dense_preprocessing, normalization
from van_jax.interop.proof import comparison, torch_run

STAGES = ("stage1", "stage2", "stage3", "stage4")
NECK = ("neck1", "neck2", "neck3", "neck4")


def outputs(model: models.Segmenter) -> tuple[str, ...]:
  """Returns the names of what is compared."""
  neck = NECK if model.head["name"] == "fpn" else ()
  auxiliary = ("auxiliary",) if model.auxiliary is not None else ()
  return (*STAGES, *neck, "logits", *auxiliary)


def verify(
  model: models.Segmenter,
  variables: Mapping[str, Any],
  arrays: Mapping[str, np.ndarray],
  *,
  images: Mapping[str, bytes],
  preprocessing: dense_preprocessing.DensePreprocessing,
  exact_images: int = 1,
) -> dict[str, Any]:
  """Returns a report of the differences; plain JSON values.

  Args:
    model: the converted segmenter.
    variables: its converted weights.
    arrays: the file's weights, of the authors' names.
    images: encoded ones by name.
    preprocessing: that belongs to the weights.
    exact_images: how many to compute in float64, which is slow.
  """
  batches = [_batch(encoded, preprocessing) for encoded in images.values()]
  run = functools.partial(torch_run.segmenter_outputs, model, arrays)
  compared, agreement = comparison.compare(
    outputs(model),
    run(batches, double=False),
    _flax(model, variables, batches),
    run(batches[:exact_images], double=True),
  )
  logits = compared["logits"]
  return {
    "images": len(batches),
    "images_in_float64": min(len(batches), exact_images),
    "image_sizes": sorted({batch.shape[1:3] for batch in batches}),
    "outputs": compared,
    "logits_max_over_spread": logits["torch_flax"]["max"] / logits["spread"],
    "top1_agreement": agreement,
  }


def table(report: Mapping[str, Any]) -> str:
  """Returns a report as text for people."""
  sizes = ", ".join(f"{h}x{w}" for h, w in report["image_sizes"])
  return "\n".join(
    [
      f"{report['images']} images of {sizes} (height x width), the first "
      f"{report['images_in_float64']} in float64 too; absolute differences, "
      "maximum (mean)",
      *comparison.rows(report["outputs"]),
      f"logits: maximum over spread {report['logits_max_over_spread']:.1e}",
      f"top-1 agreement of pixels at stride 4: {report['top1_agreement']:.2%}",
    ]
  )


def _batch(
  encoded: bytes, preprocessing: dense_preprocessing.DensePreprocessing
) -> np.ndarray:
  """Returns one image as the network gets it, [1, h, w, 3]."""
  with Image.open(io.BytesIO(encoded)) as image:
    pixels = dense_preprocessing.preprocess_whole(image, preprocessing)
  return np.array(
    normalization.normalize(
      jnp.asarray(pixels[None]), mean=preprocessing.mean, std=preprocessing.std
    )
  )


def _flax(
  model: models.Segmenter,
  variables: Mapping[str, Any],
  batches: Iterable[np.ndarray],
) -> Iterator[list[np.ndarray]]:
  """Yields each batch's maps and logits, in the order of `outputs`."""
  stages = [("backbone", f"norm{i}") for i in range(1, 5)]
  neck = ("decode_head", "neck")

  @jax.jit
  def run(variables, images):
    logits, state = model.apply(
      variables,
      images,
      train=False,
      mutable="intermediates",
      capture_intermediates=lambda module, _: module.path in [*stages, neck],
    )
    seen: Any = state["intermediates"]
    maps = [seen[part][name]["__call__"][0] for part, name in stages]
    levels = []
    if model.head["name"] == "fpn":
      levels = seen[neck[0]][neck[1]]["__call__"][0]
    found = [*maps, *levels, logits]
    if model.auxiliary is not None:  # No part of inference.
      found.append(
        model.apply(
          variables,
          maps,
          method=lambda model, maps: model.auxiliary_head(maps, train=False),
        )
      )
    return found

  variables = jax.device_put(dict(variables))
  for batch in batches:
    yield [np.asarray(output) for output in run(variables, batch)]
