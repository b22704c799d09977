"""How loops over pixels are compiled."""

import numba

# Not cache=True: Numba's cache does not see that a callee in another file has
# changed. No fastmath: the order of floating-point operations is Pillow's.
compiled = numba.njit(nogil=True, error_model="numpy")
