"""The picture of attention maps: photographs under some blocks' maps."""

from collections.abc import Sequence
from typing import Any

from van_jax.analysis import drawing
from van_jax.analysis.inside import probe
from van_jax.analysis.inside.attention_maps import attention_maps
from van_jax.analysis.inside.upsampling import upsample
from van_jax.analysis.pictures.subject import Request, read_images


def draw_attention(
  request: Request,
  *,
  image: Sequence[str],
  block: Sequence[str] = (),
  count: int = 8,
) -> dict[str, Any]:
  """Draws the attention maps of some blocks over photographs.

  Args:
    request: weights and output.
    image: files, and folders of images.
    block: "stage4/block1" and the like; none for the last of each stage.
    count: of images at the most.

  Returns:
    output, blocks, how many positions each one's map has (down, across: with
    one, it tells nothing of where), and images.

  Raises:
    UserError: bad input.
  """
  bundle = request.load()
  for name in block:
    probe.find_block(bundle.model, name)
  wanted = block or probe.last_blocks(bundle.model)
  chosen = [name for name in probe.blocks(bundle.model) if name in wanted]
  images = read_images(image, bundle.preprocessing, most=count)
  maps = attention_maps(bundle.model, bundle.variables, images.normalised)
  size = images.pixels.shape[1:3]
  large = {name: upsample(maps[name], size) for name in chosen}
  rows = [
    [pixels, *(drawing.overlay(pixels, large[name][i]) for name in chosen)]
    for i, pixels in enumerate(images.pixels)
  ]
  captions = [[name, *[""] * len(chosen)] for name in images.names]
  positions = {name: list(maps[name].shape[1:]) for name in chosen}
  titles = [f"{name}, {h} x {w}" for name, (h, w) in positions.items()]
  figure = drawing.grid(rows, columns=["image", *titles], captions=captions)
  return request.finish(
    figure, blocks=chosen, positions=positions, images=images.names
  )
