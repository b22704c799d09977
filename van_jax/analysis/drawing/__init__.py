"""Pictures of what analyses found; the only room that knows matplotlib.

Functions take arrays and give a matplotlib Figure, which `save` writes and a
notebook shows (after `%matplotlib inline`). They use no pyplot: nothing is kept
open, and no display is needed.
"""

from van_jax.analysis.drawing.canvas import save as save
from van_jax.analysis.drawing.charts import bars as bars, curves as curves
from van_jax.analysis.drawing.confusion import (
  confusion_matrix as confusion_matrix,
)
from van_jax.analysis.drawing.fields import receptive_field as receptive_field
from van_jax.analysis.drawing.kernel_grid import kernels as kernels
from van_jax.analysis.drawing.masks import (
  mask_overlay as mask_overlay,
  masks as masks,
  palette_image as palette_image,
)
from van_jax.analysis.drawing.photographs import (
  grid as grid,
  overlay as overlay,
  signed_overlay as signed_overlay,
)
