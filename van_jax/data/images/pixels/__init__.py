"""Pillow's pixel arithmetic in compiled loops, bit for bit.

Images are uint8 [H, W, 3]. Every loop runs outside of Python's lock, so that
the threads of an input pipeline run them side by side. Importing this needs
Numba; the first call of a function compiles it.
"""

from van_jax.data.images.pixels.compiled import (
  compiled as compiled,
  compiled_once as compiled_once,
)
from van_jax.data.images.pixels.resampling import (
  FILTERS as FILTERS,
  resize as resize,
  resize_window as resize_window,
)
