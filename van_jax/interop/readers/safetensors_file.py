"""The door to the safetensors library: tensors read one at a time, and written.

The library comes with the extra: pip install 'van_jax[convert]'.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping

# Lets NumPy, and with it safetensors, know a type named "bfloat16".
import ml_dtypes  # noqa: F401
import numpy as np

from van_jax import errors
from van_jax.interop.readers import excerpts, tensors

_DTYPES = {
  "F64": "float64",
  "F32": "float32",
  "F16": "float16",
  "BF16": "bfloat16",
  "I64": "int64",
  "I32": "int32",
  "I16": "int16",
  "I8": "int8",
  "U8": "uint8",
  "BOOL": "bool",
}


def is_safetensors(head: bytes) -> bool:
  """Returns whether a file that starts like this is one of safetensors."""
  return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100 << 20


@contextlib.contextmanager
def opened(
  path: str | os.PathLike[str],
) -> Iterator[dict[str, tensors.Tensor]]:
  """Yields the file's tensors by name; they can be read inside the context.

  Raises:
    UserError: if the file is damaged.
  """
  import safetensors

  with contextlib.ExitStack() as stack:
    try:
      file = stack.enter_context(safetensors.safe_open(path, "numpy"))
      tree = {name: _tensor(file, name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
      raise errors.UserError(
        "the file is cut short or damaged "
        f"({excerpts.excerpt(str(error))}); fetch it again."
      ) from error
    yield tree


def write(
  path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]
) -> None:
  """Writes named arrays, as PyTorch's libraries read them."""
  from safetensors import numpy as safetensors_numpy

  # Not ascontiguousarray, which gives a scalar an axis.
  packed = {
    name: np.asarray(array, order="C") for name, array in arrays.items()
  }
  safetensors_numpy.save_file(packed, path, metadata={"format": "pt"})


def _tensor(file, name: str) -> tensors.Tensor:
  window = file.get_slice(name)
  name_there = str(window.get_dtype())
  dtype = _DTYPES.get(name_there, name_there)

  def read() -> np.ndarray:
    array = file.get_tensor(name)
    return array.astype(np.float32) if dtype == "bfloat16" else array

  return tensors.Tensor(shape=tuple(window.get_shape()), dtype=dtype, read=read)
