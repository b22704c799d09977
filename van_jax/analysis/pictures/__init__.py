"""What the picture commands do: from weights and images to a file.

It reads workdirs, whose config only `experiment` can read; so these stand above
it, in the folder of what they draw.
"""

from van_jax.analysis.pictures.attention import draw_attention as draw_attention
from van_jax.analysis.pictures.gradcam import draw_grad_cam as draw_grad_cam
from van_jax.analysis.pictures.kernels import draw_kernels as draw_kernels
from van_jax.analysis.pictures.masks import draw_masks as draw_masks
from van_jax.analysis.pictures.receptive_field import (
  draw_receptive_field as draw_receptive_field,
)
from van_jax.analysis.pictures.subject import Request as Request
