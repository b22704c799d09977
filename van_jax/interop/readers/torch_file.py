"""The door to torch's own files: written, and read where they are harmless.

torch comes with the extra: pip install 'van_jax[convert]'. It is imported when
one of these functions is called.
"""

import argparse
import io
import os
import pickle
from collections.abc import Mapping
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


def load(path: str | os.PathLike[str]) -> Any:
  """Returns what torch.load makes of a file that was found harmless."""
  torch = library()
  try:
    with torch.serialization.safe_globals([argparse.Namespace]):
      return torch.load(path, map_location="cpu", weights_only=True)
  except pickle.UnpicklingError as error:  # It knows no numpy numbers, say.
    raise errors.UserError(
      f"{path} was converted, but torch refuses to read it for verification: "
      f"{str(error).splitlines()[0]}; save its state_dict alone."
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
