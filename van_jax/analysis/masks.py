"""Draws what a segmenter sees in photographs: its masks, over them.

python -m van_jax.analysis.masks --checkpoint=BUNDLE_OR_WORKDIR \
  --image=street.jpg --output=overlay.png [--mask=mask.png]
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

from van_jax.cli import picture_command


def _draw(request: Mapping[str, Any], **told: Any) -> Mapping[str, Any]:
  from van_jax.analysis import pictures

  return pictures.draw_masks(pictures.Request(**request), **told)


if __name__ == "__main__":
  picture_command.define(
    image="A photograph, or a folder of them.",
    count=8,
    counted="Photographs at the most, a row each.",
    required=True,
    resized=False,
  )
  flags.DEFINE_string(
    "mask",
    None,
    "PNG to write the one photograph's mask to: the numbers of its classes, "
    "with their colours as a palette.",
  )
  for name, what in (("head", "head"), ("auxiliary", "auxiliary head")):
    flags.DEFINE_string(
      name,
      None,
      f"MODULE:CLASS of the weights' {what}, where it is not van_jax's own.",
    )
  picture_command.run(_draw, own=["mask"])
