"""The architecture is read from the shapes, for published and other sizes."""

import numpy as np
import published_files as published
import pytest

from van_jax import models
from van_jax.interop.assignment import assign
from van_jax.interop.names import state_dicts
from van_jax.interop.readers import tensors

# Keys with num_batches_tracked, counted in the released files.
KEY_COUNTS = {
  "van_b0": 402,
  "van_b1": 318,
  "van_b2": 626,
  "van_b3": 1102,
  "van_b4": 1494,
  "van_b5": 962,
  "van_b6": 3062,
  "van_b6_paper": 3062,
}


def assigned(arrays):
  """Plans the conversion of arrays, of which only the shapes are looked at."""
  tree = {
    key: tensors.Tensor(
      shape=array.shape, dtype=str(array.dtype), read=lambda: np.zeros(())
    )
    for key, array in arrays.items()
  }
  return assign.assign(state_dicts.find({"state_dict": tree}))


@pytest.mark.parametrize("name", KEY_COUNTS)
def test_published_variants_are_told_by_their_shapes(name):
  row = models.VARIANTS[name]
  arrays = published.official(
    published.Size(row.widths, row.depths, row.ffn_ratios, 1000), empty=True
  )
  assert len(arrays) == KEY_COUNTS[name]
  found = assigned(arrays)
  assert models.variant_name(found.model) == name
  assert found.model == models.create_model(name)


def test_any_size_is_read():
  size = published.Size((8, 12, 20, 24), (1, 3, 2, 1), (2, 2.5, 1, 3), 21841)
  model = assigned(published.official(size, empty=True)).model
  assert model.widths == size.widths
  assert model.depths == size.depths
  assert model.ffn_ratios == size.ratios
  assert model.num_classes == 21841


def test_no_layer_scale_is_seen():
  arrays = published.official()
  bare = {k: v for k, v in arrays.items() if "layer_scale" not in k}
  assert assigned(bare).model.layer_scale_init is None


@pytest.mark.parametrize(
  ("kernels", "expected"),
  [
    ((3, 4), (7, 2)),  # The paper's Table 6.
    ((5, 5), (14, 3)),
    ((5, 7), (21, 3)),
    ((7, 7), (28, 4)),
    ((3, 3), (6, 2)),  # None of its rows: K = d * ceil(K / d).
  ],
)
def test_kernel_sizes_are_read(kernels, expected):
  arrays = published.official()
  for key, array in arrays.items():
    for name, k in zip(("conv0", "conv_spatial"), kernels, strict=True):
      if key.endswith(f"unit.{name}.weight"):
        arrays[key] = np.zeros((array.shape[0], 1, k, k), np.float32)
  attention = assigned(arrays).model.attention
  assert (attention["kernel_size"], attention["dilation"]) == expected


@pytest.mark.parametrize("attention", ["lska", "msca"])
def test_another_attention_is_read(attention):
  arrays = published.official(published.Size(attention=attention))
  assert assigned(arrays).model == models.create_model(
    "van_b0",
    widths=published.SMALL.widths,
    depths=published.SMALL.depths,
    ffn_ratios=published.SMALL.ratios,
    num_classes=7,
    attention=attention,  # As it is published.
  )


@pytest.mark.parametrize(
  ("kernels", "expected"),
  [  # arXiv:2309.01439, and one that is not there.
    ((3, 3), (7, 2)),
    ((3, 5), (11, 2)),
    ((5, 11), (35, 3)),
    ((5, 13), (41, 3)),
    ((5, 17), (53, 3)),
    ((7, 5), (20, 4)),
  ],
)
def test_separable_kernel_sizes_are_read(kernels, expected):
  arrays = published.official(published.Size(attention="lska"))
  for key, array in arrays.items():
    for name, k in zip(("conv0", "conv_spatial_"), kernels, strict=True):
      for axis, shape in (("h", (1, k)), ("v", (k, 1))):
        if key.endswith(f"unit.{name}{axis}.weight"):
          arrays[key] = np.zeros((array.shape[0], 1, *shape), np.float32)
  attention = assigned(arrays).model.attention
  assert (attention["kernel_size"], attention["dilation"]) == expected


@pytest.mark.parametrize(
  ("absent", "convs"),
  [
    ("conv0", ("dilated", "pointwise")),
    ("conv_spatial", ("depthwise", "pointwise")),
    ("conv1", ("depthwise", "dilated")),
  ],
)
def test_absent_convolutions_are_seen(absent, convs):
  arrays = published.official()
  kept = {k: v for k, v in arrays.items() if f"unit.{absent}." not in k}
  assert assigned(kept).model.attention["convs"] == convs


def test_one_wrong_shape_does_not_mislead_the_rest():
  arrays = published.official()
  arrays["patch_embed2.proj.weight"] = np.zeros((99, 8, 3, 3), np.float32)
  with pytest.raises(ValueError, match="do not fit") as caught:
    assigned(arrays)
  assert str(caught.value).count("has the shape") == 1


def test_a_missing_stage_is_said():
  arrays = published.official()
  kept = {k: v for k, v in arrays.items() if "4" not in k.split(".")[0]}
  with pytest.raises(ValueError, match="how wide stage 4 is"):
    assigned(kept)
