"""Where the taps of a "same"-sized, dilated convolution look."""


def padding(size: int, dilation: int) -> tuple[int, int]:
  """Returns the zeros (before, after) an axis that keep its length.

  They add up to dilation * (size - 1), the smaller half first: the 3 + 3 of
  torch's `padding=3` for a 7-tap kernel, and 1 + 2 for a 4-tap one.

  Args:
    size: taps along the axis.
    dilation: distance between neighbouring taps.
  """
  total = dilation * (size - 1)
  return total // 2, total - total // 2


def offsets(size: int, dilation: int) -> tuple[int, ...]:
  """Returns where each tap reads, relative to the position it writes.

  >>> offsets(3, 2), offsets(4, 1)
  ((-2, 0, 2), (-1, 0, 1, 2))
  """
  before, _ = padding(size, dilation)
  return tuple(tap * dilation - before for tap in range(size))
