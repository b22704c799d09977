"""What a model and a program are and do: their size, their cost, their insides.

Of what a network has learnt, as arrays: `attention_maps`, `grad_cam`,
`occlusion`, `receptive_field`, `stage_statistics`, kernels, `layer_table`,
confusion and shape bias. `analysis.drawing` makes pictures of them, and the
commands `python -m van_jax.analysis.attention`, `gradcam`, `receptive_field`
and `kernels` do both. `complexity` and `program` are to be imported by name.
"""

from van_jax.analysis.inside.attention_maps import attention_maps
from van_jax.analysis.inside.confusion import class_accuracy, confusion_matrix
from van_jax.analysis.inside.cue_conflict import CueConflicts, cue_conflicts
from van_jax.analysis.inside.extents import Extent, extent
from van_jax.analysis.inside.grad_cam import grad_cam
from van_jax.analysis.inside.kernels import composed_kernel, depthwise_kernels
from van_jax.analysis.inside.layer_table import Layer, layer_table
from van_jax.analysis.inside.occlusion import occlusion
from van_jax.analysis.inside.reach import attention_extent, stage_extent

# The module of this name is a command, which nobody imports.
from van_jax.analysis.inside.receptive_field import receptive_field
from van_jax.analysis.inside.shape_bias import (
  ShapeBias,
  measure_shape_bias,
  shape_bias,
)
from van_jax.analysis.inside.statistics import StageStatistics, stage_statistics
from van_jax.analysis.inside.upsampling import upsample

__all__ = [
  "CueConflicts",
  "Extent",
  "Layer",
  "ShapeBias",
  "StageStatistics",
  "attention_extent",
  "attention_maps",
  "class_accuracy",
  "composed_kernel",
  "confusion_matrix",
  "cue_conflicts",
  "depthwise_kernels",
  "extent",
  "grad_cam",
  "layer_table",
  "measure_shape_bias",
  "occlusion",
  "receptive_field",
  "shape_bias",
  "stage_extent",
  "stage_statistics",
  "upsample",
]
