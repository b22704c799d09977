"""The published weights of VAN: their names, addresses and scores.

Addresses and scores are those of OpenMMLab's model table (configs/van), whose
files are the authors' weights under other names, of the authors' README, and of
PaddleClas's list of models.
"""

import dataclasses
import difflib

from van_jax import models

_OPENMMLAB = "https://download.openmmlab.com/mmclassification/v0/van"
_HUB = "hf://Visual-Attention-Network"
_PADDLE = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph"
# Hugging Face's own VANs have ConvNeXt's preprocessing beside them, which is
# not what these weights were trained for: it is left where it is.
_HUB_BESIDE = ("config.json",)


@dataclasses.dataclass(frozen=True)
class Row:
  """One file of published weights.

  Attributes:
    address: "https://...", or "hf://OWNER/NAME/FILE". A file's name that ends
      in "-" and eight hexadecimal digits has the start of its SHA-256 there.
    format: of its names, as "source" in a bundle says it.
    data: what it was trained on.
    image_size: that it was trained and scored at, pixels a side.
    top1: published, on ImageNet-1k's validation set, percent; None for none.
    top5: the same.
    beside: files that are fetched with it, if they are there.
  """

  address: str
  format: str
  data: str = "ImageNet-1k"
  image_size: int = 224
  top1: float | None = None
  top5: float | None = None
  beside: tuple[str, ...] = ()


def _openmmlab(file: str, top1: float, top5: float) -> Row:
  return Row(f"{_OPENMMLAB}/{file}", "mmpretrain", top1=top1, top5=top5)


def _openmmlab_21k(file: str) -> Row:
  return Row(f"{_OPENMMLAB}/{file}", "mmpretrain", data="ImageNet-21k")


def _official(file: str, top1: float) -> Row:
  return Row(f"{_HUB}/{file}", "official", top1=top1)


def _hugging_face(name: str, top1: float) -> Row:
  return Row(
    f"{_HUB}/{name}/pytorch_model.bin",
    "huggingface",
    top1=top1,
    beside=_HUB_BESIDE,
  )


def _paddle(file: str, top1: float, top5: float) -> Row:
  return Row(f"{_PADDLE}/{file}", "paddleclas", top1=top1, top5=top5)


ROWS = {
  "van_b0.openmmlab": _openmmlab(
    "van-tiny_8xb128_in1k_20220501-385941af.pth", 75.41, 93.02
  ),
  "van_b1.openmmlab": _openmmlab(
    "van-small_8xb128_in1k_20220501-17bc91aa.pth", 81.01, 95.63
  ),
  "van_b2.openmmlab": _openmmlab(
    "van-base_8xb128_in1k_20220501-6a4cc31b.pth", 82.80, 96.21
  ),
  "van_b3.openmmlab": _openmmlab(
    "van-large_8xb128_in1k_20220501-f212ba21.pth", 83.86, 96.73
  ),
  "van_b4.openmmlab": _openmmlab(
    "van-b4_3rdparty_in1k_20220909-f4665b92.pth", 84.13, 96.86
  ),
  "van_b4.in21k": _openmmlab_21k("van-b4_3rdparty_in21k_20220909-db926b18.pth"),
  "van_b5.in21k": _openmmlab_21k("van-b5_3rdparty_in21k_20220909-18e904e3.pth"),
  "van_b6.in21k": _openmmlab_21k("van-b6_3rdparty_in21k_20220909-96c2cb3a.pth"),
  "van_b0.official": _official("VAN-Tiny-original/van_tiny_754.pth.tar", 75.4),
  "van_b1.official": _official(
    "VAN-Small-original/van_small_811.pth.tar", 81.1
  ),
  "van_b2.official": _official("VAN-Base-original/van_base_828.pth.tar", 82.8),
  "van_b3.official": _official(
    "VAN-Large-original/van_large_839.pth.tar", 83.9
  ),
  "van_b0.huggingface": _hugging_face("van-tiny", 75.4),
  "van_b1.huggingface": _hugging_face("van-small", 81.1),
  "van_b2.huggingface": _hugging_face("van-base", 82.8),
  "van_b3.huggingface": _hugging_face("van-large", 83.9),
  "van_b0.paddle": _paddle("VAN_B0_pretrained.pdparams", 75.35, 92.99),
  "van_b1.paddle": _paddle("VAN_B1_pretrained.pdparams", 81.02, 95.62),
  "van_b2.paddle": _paddle("VAN_B2_pretrained.pdparams", 82.80, 96.20),
  "van_b3.paddle": _paddle("VAN_B3_pretrained.pdparams", 83.89, 96.68),
}

# One word stands for OpenMMLab's file: a third of the authors' size (which has
# Adam's moments too), and the only one whose hash its name tells beforehand.
DEFAULTS = {
  "van_b0": "van_b0.openmmlab",
  "van_b1": "van_b1.openmmlab",
  "van_b2": "van_b2.openmmlab",
  "van_b3": "van_b3.openmmlab",
  "van_b4": "van_b4.openmmlab",
}


def find(name: str) -> tuple[str, Row] | None:
  """Returns the full name and the row that a name stands for, if any."""
  variant, dot, source = name.partition(".")
  name = f"{models.ALIASES.get(variant, variant)}{dot}{source}"
  name = DEFAULTS.get(name, name)
  return (name, ROWS[name]) if name in ROWS else None


def find_address(text: str) -> Row | None:
  """Returns the row whose file, or whose repository on the hub, is named."""
  text = text.rstrip("/")
  for row in ROWS.values():
    folder = row.address.rpartition("/")[0]
    if text in (row.address, folder if folder.startswith("hf://") else ""):
      return row
  return None


def suggestion(name: str) -> str:
  """Returns the names that a user may have meant, as words."""
  known = [*DEFAULTS, *ROWS]
  near = difflib.get_close_matches(name, known, n=3, cutoff=0.7)
  if near:
    return f"did you mean {' or '.join(near)}?"
  return f"names are {', '.join(known)}."
