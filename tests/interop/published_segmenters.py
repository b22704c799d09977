"""mmsegmentation's weights of segmenters, stated a second time, by hand.

As `published_files`: nothing here uses the tables that are tested.
"""

import re

import numpy as np
import published_files as published

BACKBONE = published.Size(depths=(1, 1, 1, 1), classes=0)
CLASSES = 5
CHANNELS, PYRAMID, AUXILIARY = 6, 9, 7
POOLS = 4


def segmenter(
  head: str, *, auxiliary: bool = False, empty: bool = False
) -> dict[str, np.ndarray]:
  """Returns a state dict of random numbers, as training leaves them.

  Args:
    head: "fpn", "upernet" or "fcn".
    auxiliary: whether there is a second head.
    empty: leave the numbers out, where only shapes matter.
  """
  random = np.random.default_rng(1)
  van = published.official(BACKBONE, empty=empty)
  arrays = {f"backbone.{key}": array for key, array in van.items()}

  def add(key, *shape):
    arrays[key] = np.broadcast_to(np.float32(0), shape)
    if not empty:
      drawn = random.normal(size=shape) / np.prod(shape[1:]) ** 0.5
      arrays[key] = drawn.astype(np.float32)

  def plain(key, out, into, size):
    add(f"{key}.weight", out, into, size, size)
    add(f"{key}.bias", out)

  def unit(key, out, into, size):
    add(f"{key}.conv.weight", out, into, size, size)
    for name in ("weight", "bias", "running_mean"):
      add(f"{key}.bn.{name}", out)
    variance = random.uniform(0.5, 1.5, size=out).astype(np.float32)
    arrays[f"{key}.bn.running_var"] = variance
    arrays[f"{key}.bn.num_batches_tracked"] = np.array(387810)

  widths, last = BACKBONE.widths, BACKBONE.widths[3]
  if head == "fpn":
    for i, width in enumerate(widths):
      plain(f"neck.lateral_convs.{i}.conv", PYRAMID, width, 1)
      plain(f"neck.fpn_convs.{i}.conv", PYRAMID, PYRAMID, 3)
    for i, count in enumerate((1, 1, 2, 3)):
      for k in range(count):
        before = PYRAMID if k == 0 else CHANNELS
        unit(f"decode_head.scale_heads.{i}.{2 * k}", CHANNELS, before, 3)
  elif head == "upernet":
    for i in range(POOLS):
      unit(f"decode_head.psp_modules.{i}.1", CHANNELS, last, 1)
    unit("decode_head.bottleneck", CHANNELS, last + POOLS * CHANNELS, 3)
    for i in range(3):
      unit(f"decode_head.lateral_convs.{i}", CHANNELS, widths[i], 1)
      unit(f"decode_head.fpn_convs.{i}", CHANNELS, CHANNELS, 3)
    unit("decode_head.fpn_bottleneck", CHANNELS, 4 * CHANNELS, 3)
  else:
    unit("decode_head.convs.0", CHANNELS, last, 3)
    unit("decode_head.convs.1", CHANNELS, CHANNELS, 3)
  plain("decode_head.conv_seg", CLASSES, CHANNELS, 1)
  if auxiliary:
    unit("auxiliary_head.convs.0", AUXILIARY, widths[2], 3)
    plain("auxiliary_head.conv_seg", CLASSES, AUXILIARY, 1)
  if not empty:
    _calm(arrays)
  return arrays


def flax_paths(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns a segmenter's state dict as our leaves by path."""
  van = {
    key.removeprefix("backbone."): array
    for key, array in arrays.items()
    if key.startswith("backbone.")
  }
  leaves = {
    path.replace("/", "/backbone/", 1): array
    for path, array in published.flax_paths(van).items()
  }
  for key, array in arrays.items():
    *words, leaf = key.split(".")
    if words[0] == "backbone" or leaf == "num_batches_tracked":
      continue
    name = re.sub(r"/(\d+)(?=/|$)", r"_\1", "/".join(words))
    name = re.sub("^neck", "decode_head/neck", name)
    collection = "params"
    if leaf.startswith("running_"):
      collection, leaf = "batch_stats", leaf.removeprefix("running_")
    elif leaf == "weight":
      leaf = "scale" if words[-1] == "bn" else "kernel"
    if array.ndim == 4:
      array = np.einsum("oihw->hwio", array)
    leaves[f"{collection}/{name}/{leaf}"] = array
  return leaves


def _calm(arrays: dict[str, np.ndarray]) -> None:
  """Keeps activations in bounds, as training does."""
  for key, array in arrays.items():
    if key.startswith("backbone.") and array.ndim > 1:
      array *= (2 / np.prod(array.shape[1:])) ** 0.5
    elif "layer_scale" in key:
      array *= 0.2
