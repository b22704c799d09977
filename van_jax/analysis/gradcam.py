"""Draws where photographs speak for a class: Grad-CAM.

python -m van_jax.analysis.gradcam --checkpoint=BUNDLE_OR_WORKDIR \
  --image=cat.jpg --output=cam.png [--classes=tabby] [--stage=4]
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

from van_jax.cli import picture_command


def _draw(request: Mapping[str, Any], **told: Any) -> Mapping[str, Any]:
  from van_jax.analysis import pictures

  return pictures.draw_grad_cam(pictures.Request(**request), **told)


if __name__ == "__main__":
  picture_command.define(
    image="A photograph, or a folder of them.",
    count=8,
    counted="Photographs at the most, a row each.",
    required=True,
  )
  flags.DEFINE_multi_string(
    "classes",
    [],
    "A class by its name or number; may be given several times, a column each. "
    "The likeliest of each photograph, when left out.",
  )
  flags.DEFINE_integer("stage", 4, "Whose map it is, 1 to 4.")
  picture_command.run(_draw, own=["classes", "stage"])
