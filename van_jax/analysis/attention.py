"""Draws what each block's attention multiplies by, over photographs.

python -m van_jax.analysis.attention --checkpoint=BUNDLE_OR_WORKDIR \
  --image=cat.jpg --output=maps.png [--block=stage3/block2]
"""

from absl import app, flags

from van_jax.cli import command, picture_flags

picture_flags.define(
  image="A photograph, or a folder of them.",
  count=8,
  counted="Photographs at the most, a row each.",
)
_BLOCK = flags.DEFINE_multi_string(
  "block",
  [],
  "stage4/block1 and the like, blocks counting from 0; may be given several "
  "times. The last of each stage, when left out.",
)


def _draw():
  from van_jax.analysis import pictures

  return pictures.draw_attention(
    pictures.Request(**picture_flags.values()),
    image=flags.FLAGS.image,
    block=_BLOCK.value,
    count=flags.FLAGS.count,
  )


def main(_) -> None:
  """Draws; what was drawn is the last line, one line of JSON."""
  command.run(_draw)


if __name__ == "__main__":
  flags.mark_flag_as_required("image")
  app.run(main, flags_parser=command.parse_flags)
