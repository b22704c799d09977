"""The picture of a block's kernels: each convolution's, and the large one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from van_jax import errors
from van_jax.analysis import drawing
from van_jax.analysis.inside import kernels as kernels_lib
from van_jax.analysis.inside.attention_maps import channel_strengths
from van_jax.analysis.pictures.subject import Request, read_images
from van_jax.models.attention import table

_MOST = 32  # Images that channels are ranked on, so that they fit at once.


def draw_kernels(
  request: Request,
  *,
  image: Sequence[str] = (),
  block: str = "stage4/block0",
  count: int = 16,
) -> dict[str, Any]:
  """Draws a block's depthwise kernels, and the one large kernel they make.

  Args:
    request: weights and output.
    image: files, and folders of images: shown are the channels whose attention
      map is strongest on them, the strongest first. None for the first ones.
    block: "stage4/block1", say.
    count: of channels at the most.

  Returns:
    output, block and channels.

  Raises:
    UserError: bad input.
  """
  if count < 1:
    raise errors.UserError(f"count={count} must be at least 1.")
  bundle = request.load()
  given = (bundle.model, bundle.variables)
  rows = kernels_lib.depthwise_kernels(*given, block=block)
  if bundle.model.attention["name"] in table.ATTENTIONS:
    rows["composed"] = kernels_lib.composed_kernel(*given, block=block)
  channels = range(min(count, *(k.shape[2] for k in rows.values())))
  if image:
    images = read_images(image, bundle.preprocessing, most=_MOST).normalised
    strengths = channel_strengths(*given, images, block=block)
    channels = np.argsort(-strengths)[: len(channels)].tolist()
  figure = drawing.kernels(rows, channels=list(channels))
  return request.finish(figure, block=block, channels=list(channels))
