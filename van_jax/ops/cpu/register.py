"""Loops that Numba compiled, as functions that XLA calls."""

import ctypes
import logging
import os
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax


def register(load: Callable[[], Mapping[str, Any]]) -> bool:
  """Registers handlers; returns whether there are any on this machine.

  Args:
    load: imports and so compiles the handlers, C functions by their names.
  """
  plain = struct.calcsize("P") == 8 and sys.byteorder == "little"
  if os.name != "posix" or not plain:
    return False
  try:
    for name, handler in load().items():
      capsule = jax.ffi.pycapsule(ctypes.c_void_p(handler.address))
      jax.ffi.register_ffi_target(name, capsule, platform="cpu")
  except Exception as error:  # Whatever a CPU that we never saw may raise.
    logging.getLogger(__name__).warning(
      "Numba's loops are not to be had here, so that convolutions on this CPU "
      "will be slow: %s",
      error,
      exc_info=True,
    )
    return False
  return True
