"""Draws a block's depthwise kernels, and the large kernel that they make.

python -m van_jax.analysis.kernels --checkpoint=BUNDLE_OR_WORKDIR \
  --output=kernels.png [--block=stage4/block0] [--image=cat.jpg]
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

from van_jax.cli import picture_command


def _draw(request: Mapping[str, Any], **told: Any) -> Mapping[str, Any]:
  from van_jax.analysis import pictures

  return pictures.draw_kernels(pictures.Request(**request), **told)


if __name__ == "__main__":
  picture_command.define(
    image="A photograph, or a folder of them: the channels whose attention map "
    "is strongest there are drawn; the first ones, when left out.",
    count=16,
    counted="Channels at the most.",
  )
  flags.DEFINE_string(
    "block", "stage4/block0", "Whose attention, blocks counting from 0."
  )
  picture_command.run(_draw, own=["block"])
