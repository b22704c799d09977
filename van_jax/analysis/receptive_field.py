"""Draws which pixels the centre of a stage's map depends on.

python -m van_jax.analysis.receptive_field --checkpoint=BUNDLE_OR_WORKDIR \
  --image=FOLDER --output=field.png [--stage=3 | --block=stage2/block0]

`van_jax.analysis.receptive_field` is the function, and whoever imports this
module gets that.
"""

import sys
from collections.abc import Mapping
from typing import Any, cast

from absl import flags

from van_jax.cli import picture_command


def _draw(request: Mapping[str, Any], **told: Any) -> Mapping[str, Any]:
  from van_jax.analysis import pictures

  return pictures.draw_receptive_field(pictures.Request(**request), **told)


if __name__ == "__main__":
  picture_command.define(
    image="A photograph, or a folder of them, to take the mean over; normal "
    "noise, when left out.",
    count=32,
    counted="Photographs at the most.",
  )
  flags.DEFINE_integer("stage", 4, "Whose map it is, 1 to 4.")
  flags.DEFINE_string(
    "block",
    None,
    "In place of a stage stage2/block0, say: the field of that block's "
    "attention alone, over the map that it gets.",
  )
  picture_command.run(_draw, own=["stage", "block"])
else:  # A tool that imports all modules would put this one in its place.
  from van_jax.analysis.inside.receptive_field import receptive_field

  sys.modules[__name__] = cast(Any, receptive_field)
