"""The arrays of an assignment: read into our tree, or written as a file's."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from van_jax import errors
from van_jax.interop.assignment.assign import Assignment
from van_jax.interop.names import keys
from van_jax.interop.readers import tensors


def check_bytes(assignment: Assignment, file_bytes: int) -> None:
  """Raises UserError when the arrays hold more numbers than the file does.

  A small file could ask for any amount of memory by naming one storage often.
  """
  used = [
    assignment.tensors[entry.key] for entry in assignment.entries.values()
  ]
  total = sum(math.prod(t.shape) * tensors.item_size(t.dtype) for t in used)
  if total > file_bytes:
    raise errors.UserError(
      f"its arrays take {total} bytes and the file has {file_bytes}: they "
      "share numbers, as no VAN's do; save a state_dict without sharing."
    )


def read(
  assignment: Assignment,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
  """Returns the model's variables, float32, read one by one.

  Args:
    assignment: whose tensors' file is open.
    progress: is told how many of how many arrays are read.
  """
  variables = {}
  for done, (path, entry) in enumerate(assignment.entries.items(), start=1):
    numbers = entry.array.layout.here(assignment.tensors[entry.key].read())
    variables[path] = np.array(numbers, np.float32, order="C")
    progress(done, len(assignment.entries))
  return traverse_util.unflatten_dict(variables, sep="/")


def write(
  variables: Mapping[str, Any],
  entry_of_path: Callable[[str], keys.Entry],
  *,
  count: int,
) -> dict[str, np.ndarray]:
  """Returns the variables under another project's names, in its layout.

  Args:
    variables: of a VAN or a segmenter.
    entry_of_path: gives the name of an array of ours.
    count: what torch's counters of BatchNorm's batches say.

  Raises:
    UserError: if the format has no name for an array.
  """
  flat: dict[str, Any] = traverse_util.flatten_dict(dict(variables), sep="/")
  entries = {path: entry_of_path(path) for path in flat}
  arrays = {
    entry.key: np.array(
      entry.array.layout.there(np.asarray(flat[path])), order="C"
    )
    for path, entry in entries.items()
  }
  for key in keys.counters(entries.values()):
    arrays[key] = np.array(count, np.int64)
  return arrays


def non_finite(variables: Mapping[str, Any]) -> list[str]:
  """Returns the paths of arrays that have NaN or infinity in them."""
  flat: dict[str, Any] = traverse_util.flatten_dict(dict(variables), sep="/")
  return [path for path in flat if not np.isfinite(flat[path]).all()]


def batches_seen(assignment: Assignment) -> int:
  """Returns what torch's counters of batches say, where they agree; else 0."""
  counts = {
    int(tensor.read().item())
    for key, tensor in assignment.tensors.items()
    # One axis is what this project once wrote for Hugging Face.
    if keys.is_counter(key)
    and tensor.shape in ((), (1,))
    and tensor.dtype == "int64"
  }
  return counts.pop() if len(counts) == 1 else 0
