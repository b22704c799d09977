"""Draws a block's depthwise kernels, and the large kernel that they make.

python -m van_jax.analysis.kernels --checkpoint=BUNDLE_OR_WORKDIR \
  --output=kernels.png [--block=stage4/block0] [--image=cat.jpg]
"""

from absl import app, flags

from van_jax.cli import command, picture_flags

picture_flags.define(
  image="A photograph, or a folder of them: the channels whose attention map "
  "is strongest there are drawn; the first ones, when left out.",
  count=16,
  counted="Channels at the most.",
)
_BLOCK = flags.DEFINE_string(
  "block", "stage4/block0", "Whose attention, blocks counting from 0."
)


def _draw():
  from van_jax.analysis import pictures

  return pictures.draw_kernels(
    pictures.Request(**picture_flags.values()),
    image=flags.FLAGS.image or (),
    block=_BLOCK.value,
    count=flags.FLAGS.count,
  )


def main(_) -> None:
  """Draws; what was drawn is the last line, one line of JSON."""
  command.run(_draw)


if __name__ == "__main__":
  app.run(main, flags_parser=command.parse_flags)
