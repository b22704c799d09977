"""The door to torch's own files: written, and read where they are harmless.

torch comes with the extra: pip install 'van_jax[convert]'. It is imported when
one of these functions is called.
"""

import argparse
import io
import os
import pickle
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from van_jax import errors


def save(
  path: str | os.PathLike[str],
  description: Mapping[str, Any],
  arrays: Mapping[str, np.ndarray],
) -> None:
  """Writes {**description, "state_dict": arrays} as torch.save does.

  Raises:
    OSError: what the system says, a full disk say; torch has only its own
      "unexpected pos" for it.
  """
  torch = library()
  state = {name: torch.from_numpy(array) for name, array in arrays.items()}
  content = io.BytesIO()
  torch.save({**description, "state_dict": state}, content)
  with open(path, "wb") as file:
    file.write(content.getbuffer())


class _Placeholder:
  """What torch makes of a class that is not rebuilt."""

  def __new__(cls, *_, **__):
    return super().__new__(cls)

  def __setstate__(self, state: Any):
    del state

  def __setitem__(self, key: Any, value: Any):
    del key, value


def load(path: str | os.PathLike[str], unknown: Iterable[str] = ()) -> Any:
  """Returns what torch.load makes of a file that was found harmless.

  Args:
    path: of the file.
    unknown: names of classes in it that are not imported.
  """
  torch = library()
  known = [argparse.Namespace, *((_Placeholder, name) for name in unknown)]
  try:
    with warnings.catch_warnings(), torch.serialization.safe_globals(known):
      warnings.filterwarnings("ignore", "Detected pickle protocol")
      return torch.load(path, map_location="cpu", weights_only=True)
  except pickle.UnpicklingError as error:
    raise errors.UserError(
      f"torch itself refuses to read {path} safely (pickle protocols from 4 "
      "on, and some classes, are beyond it): its numbers are taken as read "
      "here, and the network alone is compared. Save the state_dict alone, "
      "with torch.save's own protocol, to have both compared."
    ) from error


def array(tensor: Any) -> np.ndarray:
  """Returns a tensor's numbers, float32."""
  return tensor.detach().float().numpy()


def library() -> Any:
  """Returns torch.

  Raises:
    UserError: if it is not installed.
  """
  try:
    import torch
  except ImportError as error:
    raise errors.UserError(
      "to write or verify PyTorch weights needs PyTorch; "
      "pip install 'van_jax[convert]'."
    ) from error
  return torch
