"""Which preprocessing the published weights were trained for.

The same architecture was published with either of two normalisations; with the
wrong one B0 falls from 75.4 % to about 72 %.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from van_jax import models
from van_jax.data.images import preprocessing
from van_jax.interop.names import key_tables, state_dicts
from van_jax.interop.readers import pickles

# The authors' train.py (timm 0.4.12) and mmpretrain's configs/van; crop 0.9.
HALF = preprocessing.Preprocessing(
  image_size=224,
  resize_mode="short_side",
  resize_size=248,
  interpolation="bicubic",
  mean=(0.5, 0.5, 0.5),
  std=(0.5, 0.5, 0.5),
)
# The authors' ImageNet-22k scripts, and their fine-tuning to 1k; crop 0.875.
IMAGENET = dataclasses.replace(
  HALF,
  resize_size=256,
  mean=(0.485, 0.456, 0.406),
  std=(0.229, 0.224, 0.225),
)

_PRETRAINED_ON_22K = ("van_b4", "van_b5", "van_b6", "van_b6_paper")
_CLASSES_OF_22K = (21841, 21843)


def choose(
  weights: state_dicts.StateDict, model: models.VAN, tree: Mapping[str, Any]
) -> preprocessing.Preprocessing:
  """Returns what published weights like these were trained for.

  Args:
    weights: their names, and where they were in the file.
    model: that they are for.
    tree: of the file; the 22k scripts note their image size in its "args".
  """
  if not _imagenet_statistics(weights, model):
    return HALF
  size = _image_size(tree)
  if size == IMAGENET.image_size:
    return IMAGENET
  return dataclasses.replace(
    IMAGENET,
    image_size=size,
    resize_size=size if size >= 384 else round(size / 0.875),
    resize_mode="warp" if size >= 384 else "short_side",
  )


def _imagenet_statistics(
  weights: state_dicts.StateDict, model: models.VAN
) -> bool:
  table = weights.dialect.table
  if table == key_tables.OFFICIAL and weights.dialect.prefix:
    return True  # The authors' segmentation and detection code.
  if model.num_classes in _CLASSES_OF_22K:
    return True
  if table == key_tables.MMPRETRAIN:
    return model.num_classes == 0  # OpenMMLab's dense tasks; not its VANs.
  if weights.place in ("model", "model_ema"):
    return True  # The 22k scripts; train.py writes "state_dict".
  return models.variant_name(model) in _PRETRAINED_ON_22K


def _image_size(tree: Mapping[str, Any]) -> int:
  args = tree.get("args")
  fields = args.fields if isinstance(args, pickles.Namespace) else {}
  size = fields.get("input_size")
  # From the smallest that VAN takes to the largest that is no mistake.
  if isinstance(size, int) and 32 <= size <= 1024:
    return size
  return IMAGENET.image_size
