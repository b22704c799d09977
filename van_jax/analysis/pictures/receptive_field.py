"""The picture of an effective receptive field."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from van_jax.analysis import drawing
from van_jax.analysis.inside import extents
from van_jax.analysis.inside.receptive_field import receptive_field
from van_jax.analysis.pictures.subject import Request, read_images

_NOISE = 8  # Images of it: one batch.


def draw_receptive_field(
  request: Request,
  *,
  image: Sequence[str] = (),
  stage: int = 4,
  block: str | None = None,
  count: int = 32,
) -> dict[str, Any]:
  """Draws what the centre of a stage, or of one attention, depends on.

  Args:
    request: weights and output.
    image: files, and folders of images, which the field is a mean over; none
      for some of normal noise.
    stage: whose map, 1 to 4.
    block: "stage2/block0", say: of that block's attention alone.
    count: of images at the most.

  Returns:
    output, the number of images, the size of all that is not zero (height,
    width) and of the least that holds 95 % (area): in pixels, or of a block in
    positions of its map.

  Raises:
    UserError: bad input.
  """
  bundle = request.load()
  if image:
    images = read_images(image, bundle.preprocessing, most=count).normalised
  else:
    side = bundle.preprocessing.image_size
    shape = (_NOISE, side, side, 3)
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
  options = {"stage": stage, "block": block}
  field = receptive_field(bundle.model, bundle.variables, images, **options)
  found = extents.extent(field)
  name = block or f"stage {stage}"
  unit = "position of its map" if block else "pixel"
  figure = drawing.receptive_field(field, found, title=name, unit=unit)
  return request.finish(
    figure,
    of=name,
    images=len(images),
    height=found.height,
    width=found.width,
    area=found.area,
  )
