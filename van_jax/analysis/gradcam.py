"""Draws where photographs speak for a class: Grad-CAM.

python -m van_jax.analysis.gradcam --checkpoint=BUNDLE_OR_WORKDIR \
  --image=cat.jpg --output=cam.png [--classes=tabby] [--stage=4]
"""

from absl import app, flags

from van_jax.cli import command, picture_flags

picture_flags.define(
  image="A photograph, or a folder of them.",
  count=8,
  counted="Photographs at the most, a row each.",
)
_CLASSES = flags.DEFINE_multi_string(
  "classes",
  [],
  "A class by its name or number; may be given several times, a column each. "
  "The likeliest of each photograph, when left out.",
)
_STAGE = flags.DEFINE_integer("stage", 4, "Whose map it is, 1 to 4.")


def _draw():
  from van_jax.analysis import pictures

  return pictures.draw_grad_cam(
    pictures.Request(**picture_flags.values()),
    image=flags.FLAGS.image,
    classes=_CLASSES.value,
    stage=_STAGE.value,
    count=flags.FLAGS.count,
  )


def main(_) -> None:
  """Draws; what was drawn is the last line, one line of JSON."""
  command.run(_draw)


if __name__ == "__main__":
  flags.mark_flag_as_required("image")
  app.run(main, flags_parser=command.parse_flags)
