"""For which convolutions "auto" means the GPU kernels, on NVIDIA's GPUs.

A row comes in when `benchmarks/gpu.sh` has shown, on a GPU, the kernels right
for its shape and faster than XLA's convolution, forward and backward together.
The kernels were compiled for such cards and never ran on one: there is none.
"""

from typing import NamedTuple


class Shape(NamedTuple):
  """A convolution that was measured.

  Attributes:
    length: height and width of the map.
    channels: of it.
    taps: along each axis.
    dilation: distance between neighbouring taps.
    dtype: of the map.
  """

  length: int
  channels: int
  taps: int
  dilation: int
  dtype: str


FASTER: frozenset[Shape] = frozenset()


def is_faster(x, kernel, dilation: int) -> bool:
  """Returns whether the kernels were shown right and faster for such maps.

  Args:
    x: [B, H, W, C].
    kernel: [kh, kw, 1, C].
    dilation: distance between neighbouring taps.
  """
  (_, H, W, C), (kh, kw) = x.shape, kernel.shape[:2]
  if H != W or kh != kw:
    return False
  return Shape(H, C, kh, dilation, str(x.dtype)) in FASTER
