"""Hugging Face's preprocessor_config.json: read, and written.

Their VANs come with ConvNeXt's processor, which resizes to `size / crop_pct`
and crops; from 384 pixels on it warps and does not crop.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from absl import logging

from van_jax import errors
from van_jax.data.images import preprocessing
from van_jax.interop.facts import hugging_face
from van_jax.interop.readers import excerpts

NAME = "preprocessor_config.json"
_WARP_FROM = 384  # ConvNeXt's processor crops below this size only.
_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}  # PIL's numbers.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CONVNEXT = ("ConvNextImageProcessor", "ConvNextFeatureExtractor")
_CONVNEXT_FAST = "ConvNextImageProcessorFast"


def read(
  weights: pathlib.Path, *, published: bool
) -> preprocessing.Preprocessing | None:
  """Returns what the file beside some weights says; None to go without it.

  Args:
    weights: the path of theirs.
    published: whether these are the published weights by their shapes; with
      those came ConvNeXt's own settings, with which B0 loses three points.
  """
  fields = hugging_face.read(weights.with_name(NAME))
  if not fields:
    return None
  kind = fields.get(
    "image_processor_type", fields.get("feature_extractor_type")
  )
  try:
    if kind not in (*_CONVNEXT, _CONVNEXT_FAST, None):
      raise ValueError(f"its type is {excerpts.excerpt(kind)}")
    found = _convnext(fields)
  except (ValueError, TypeError, KeyError, OverflowError) as error:
    logging.warning(
      "%s is not followed (%s), but what published weights of this kind were "
      "trained for; set --image_size, --resize_mode, --resize_size, "
      "--interpolation, --mean and --std.",
      NAME,
      excerpts.excerpt(str(error)),
    )
    return None
  statistics = found.mean, found.std
  if published and fields.get("crop_pct") == 0.875 and statistics == _IMAGENET:
    logging.warning(
      "%s is ConvNeXt's, which came with the published weights and is not what "
      "they were trained for (B0 loses three points): it is not followed. "
      "--resize_size=%d, --mean=%s and --std=%s follow it.",
      NAME,
      found.resize_size,
      ",".join(map(str, found.mean)),
      ",".join(map(str, found.std)),
    )
    return None
  return found


def write(to: preprocessing.Preprocessing) -> dict[str, Any]:
  """Returns the settings with which ConvNeXt's processor does the same.

  Raises:
    UserError: if it cannot.
  """
  if (to.image_size >= _WARP_FROM) != (to.resize_mode == "warp"):
    raise errors.UserError(
      f"resize_mode={to.resize_mode!r} at image_size={to.image_size}: Hugging "
      f"Face's processor crops below {_WARP_FROM} pixels and warps from there "
      "on; change the bundle's preprocessing, or write another format."
    )
  if to.resize_mode == "warp" and to.resize_size != to.image_size:
    raise errors.UserError(
      f"resize_size={to.resize_size} at image_size={to.image_size}: Hugging "
      "Face's processor does not crop what it has warped; change the bundle's "
      "preprocessing, or write another format."
    )
  resample = {name: number for number, name in _FILTERS.items()}
  return {
    "image_processor_type": _CONVNEXT[0],
    "do_resize": True,
    "size": {"shortest_edge": to.image_size},
    # It rounds size / crop_pct down: half a pixel more lands on resize_size.
    "crop_pct": to.image_size / (to.resize_size + 0.5),
    "resample": resample[to.interpolation],
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": list(to.mean),
    "image_std": list(to.std),
  }


def _convnext(fields: Mapping[str, Any]) -> preprocessing.Preprocessing:
  """Returns what ConvNeXt's processor does.

  Raises:
    ValueError: if that cannot be said by a Preprocessing.
  """
  for name in ("do_resize", "do_rescale", "do_normalize"):
    if not fields.get(name, True):
      raise ValueError(f"{name} is off")
  if abs(fields.get("rescale_factor", 1 / 255) - 1 / 255) > 1e-6:
    raise ValueError("its rescale_factor is not 1/255")
  size = fields["size"]
  if isinstance(size, dict):
    size = size["shortest_edge"]
  if not isinstance(size, int):
    raise ValueError("its size is no number of pixels")
  warps = size >= _WARP_FROM
  crop = fields.get("crop_pct") or 224 / 256
  return preprocessing.Preprocessing(
    image_size=size,
    resize_mode="warp" if warps else "short_side",
    resize_size=size if warps else int(size / crop),
    interpolation=_FILTERS[fields.get("resample", 2)],
    mean=tuple(fields.get("image_mean", _IMAGENET[0])),
    std=tuple(fields.get("image_std", _IMAGENET[1])),
  )
