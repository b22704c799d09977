"""Draws what each block's attention multiplies by, over photographs.

python -m van_jax.analysis.attention --checkpoint=BUNDLE_OR_WORKDIR \
  --image=cat.jpg --output=maps.png [--block=stage3/block2]
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

from van_jax.cli import picture_command


def _draw(request: Mapping[str, Any], **told: Any) -> Mapping[str, Any]:
  from van_jax.analysis import pictures

  return pictures.draw_attention(pictures.Request(**request), **told)


if __name__ == "__main__":
  picture_command.define(
    image="A photograph, or a folder of them.",
    count=8,
    counted="Photographs at the most, a row each.",
    required=True,
  )
  flags.DEFINE_multi_string(
    "block",
    [],
    "stage4/block1 and the like, blocks counting from 0; may be given several "
    "times. The last of each stage, when left out.",
  )
  picture_command.run(_draw, own=["block"])
