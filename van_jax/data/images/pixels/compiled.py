"""How loops over pixels are compiled."""

from collections.abc import Callable

import numba
from numba import extending

# Not cache=True: Numba's cache does not see that a callee in another file has
# changed. No fastmath: the order of floating-point operations is Pillow's.
compiled = numba.njit(nogil=True, error_model="numpy")


def compiled_once(function: Callable) -> Callable:
  """Returns a function compiled, or as it is if it was compiled before."""
  return function if extending.is_jitted(function) else compiled(function)
