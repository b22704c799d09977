"""Which whole images share an evaluation batch: those of one network shape.

Where the network sees an image in several sizes, all of them are the same.

A batch's labels have one shape too, of several sizes: of images that one
network shape is made of, those of up to twice its pixels a side go together,
those of up to four times, and so on, so that small labels are not padded to the
largest of all, and few shapes are compiled for.
"""

import math
from typing import NamedTuple

import numpy as np

NOTHING = -1  # The index of padding.


class Planned(NamedTuple):
  """A batch over all processes.

  Attributes:
    indices: int64 [B], of examples; NOTHING for padding.
    image_shapes: each (height, width) that the network sees.
    label_shape: (height, width) that has room for each label.
  """

  indices: np.ndarray
  image_shapes: tuple[tuple[int, int], ...]
  label_shape: tuple[int, int]


def plan(
  sizes: np.ndarray, network_sizes: np.ndarray, batch_size: int
) -> list[Planned]:
  """Returns batches that have every example once, in the order of their last.

  Whoever reads the examples in order has a batch whole when its turn comes.

  Args:
    sizes: int [N, 2], height and width of each image.
    network_sizes: int [N, R, 2], of what the network sees of it, in R sizes.
    batch_size: examples a batch, B.
  """
  groups: dict[tuple[tuple[tuple[int, int], ...], int], list[int]] = {}
  for i, (own, seen) in enumerate(zip(sizes, network_sizes, strict=True)):
    growth = max(own / seen[0])
    bucket = max(math.ceil(math.log2(growth)), 0)
    shapes = tuple((height, width) for height, width in seen.tolist())
    groups.setdefault((shapes, bucket), []).append(i)
  batches = []
  for (shapes, _), members in groups.items():
    H, W = sizes[members].max(0).tolist()
    for start in range(0, len(members), batch_size):
      indices = np.full(batch_size, NOTHING, np.int64)
      some = members[start : start + batch_size]
      indices[: len(some)] = some
      batches.append(Planned(indices, shapes, (H, W)))
  return sorted(batches, key=lambda batch: batch.indices.max())
