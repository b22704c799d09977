"""Checksums of trees of arrays, as the versions before 3 took them."""

import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from van_jax import parallel


def fingerprint(tree: Any) -> int:
  """Returns the CRC-32 of all leaves' bytes, in the tree's order.

  Args:
    tree: arrays in whatever shards; they are copied to the host, one after the
      other. All processes that hold a part of one must call this.
  """
  checksum = 0
  for leaf in jax.tree.leaves(tree):
    array = np.ascontiguousarray(parallel.whole_array(leaf))
    # As bytes, since bfloat16 is not a type that buffers know.
    checksum = zlib.crc32(array.reshape(-1).view(np.uint8).data, checksum)
  return checksum


def fingerprints(parts: Mapping[str, Any]) -> dict[str, int]:
  """Returns each part's own fingerprint: a part may be read alone."""
  return {name: fingerprint(part) for name, part in parts.items()}
