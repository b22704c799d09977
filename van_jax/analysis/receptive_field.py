"""Draws which pixels the centre of a stage's map depends on.

python -m van_jax.analysis.receptive_field --checkpoint=BUNDLE_OR_WORKDIR \
  --image=FOLDER --output=field.png [--stage=3 | --block=stage2/block0]

`van_jax.analysis.receptive_field` is the function, and whoever imports this
module gets that.
"""

import sys
from typing import Any, cast

from absl import app, flags

from van_jax.cli import command, picture_flags

picture_flags.define(
  image="A photograph, or a folder of them, to take the mean over; normal "
  "noise, when left out.",
  count=32,
  counted="Photographs at the most.",
)
_STAGE = flags.DEFINE_integer("stage", 4, "Whose map it is, 1 to 4.")
_BLOCK = flags.DEFINE_string(
  "block",
  None,
  "In place of a stage stage2/block0, say: the field of that block's attention "
  "alone, over the map that it gets.",
)


def _draw():
  from van_jax.analysis import pictures

  return pictures.draw_receptive_field(
    pictures.Request(**picture_flags.values()),
    image=flags.FLAGS.image or (),
    stage=_STAGE.value,
    block=_BLOCK.value,
    count=flags.FLAGS.count,
  )


def main(_) -> None:
  """Draws; what was drawn is the last line, one line of JSON."""
  command.run(_draw)


if __name__ == "__main__":
  app.run(main, flags_parser=command.parse_flags)
else:  # A tool that imports all modules would put this one in its place.
  from van_jax.analysis.inside.receptive_field import receptive_field

  sys.modules[__name__] = cast(Any, receptive_field)
