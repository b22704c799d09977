"""The depthwise convolutions of VAN-B0 to B2, and the fewest bytes they move.

A direction is "forward" (with bias), "input gradient" or "kernel gradient": two
maps each, which are read or written once.
"""

from collections.abc import Sequence
from typing import NamedTuple

from van_jax.ops.check import shapes

DIRECTIONS = ("forward", "input gradient", "kernel gradient")
MODELS = ("van_b0", "van_b1", "van_b2")


class Shape(NamedTuple):
  """One depthwise convolution.

  Attributes:
    height: of the map, and its width.
    channels: of the map.
    taps: along each axis.
    dilation: distance between neighbouring taps.
  """

  height: int
  channels: int
  taps: int
  dilation: int

  def map_bytes(self, batch: int, item_bytes: int) -> int:
    """Returns the bytes of one map."""
    return batch * self.height**2 * self.channels * item_bytes

  def floor_us(
    self, batch: int, item_bytes: int, gigabytes_per_second: float
  ) -> float:
    """Returns the microseconds that moving two maps takes."""
    moved = 2 * self.map_bytes(batch, item_bytes)
    return moved / gigabytes_per_second / 1e3


def distinct(models: Sequence[str] = MODELS, size: int = 224) -> list[Shape]:
  """Returns each shape once: those of the first model first.

  Args:
    models: names.
    size: pixels a side of the images.
  """
  found: dict[Shape, None] = {}
  for model in models:
    found |= dict.fromkeys(Shape(*shape) for shape in shapes([model], size))
  return list(found)
