"""Images and labels that nothing can be told of: one line each."""

import numpy as np
import pytest

from van_jax import analysis, errors

LOOKS = {
  "attention_maps": analysis.attention_maps,
  "grad_cam": analysis.grad_cam,
  "occlusion": analysis.occlusion,
  "receptive_field": analysis.receptive_field,
  "stage_statistics": analysis.stage_statistics,
  "measure_shape_bias": lambda model, variables, images: (
    analysis.measure_shape_bias(model, variables, images, [0, 1])
  ),
}
GIVEN = np.random.default_rng(0).standard_normal((2, 32, 32, 3), "f")
BAD = {
  "uint8": (np.full(GIVEN.shape, 7, np.uint8), r"uint8 must be floating"),
  "one image": (GIVEN[0], r"\(32, 32, 3\).*add the missing axes"),
  "NaN": (np.stack([GIVEN[0], GIVEN[1] * np.nan]), r"images\[1\].*NaN"),
  "pixels": (
    np.linspace(0, 255, GIVEN.size, dtype="f").reshape(GIVEN.shape),
    r"from 0 to 255, as pixels do.*\(images / 255 - mean\) / std",
  ),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("look", LOOKS)
def test_images_that_are_not_normalised_are_refused(look, kind, make_small):
  images, message = BAD[kind]
  with pytest.raises(errors.UserError, match=message):
    LOOKS[look](*make_small(), images)


@pytest.mark.parametrize(
  ("images", "labels", "options", "message"),
  [
    (GIVEN, [0, 3], {}, r"labels=\[0, 3\] must be from 0 to 2"),
    (GIVEN[:0], [], {}, "must be floating .* whole numbers"),
    (GIVEN, [0.0, 1.0], {}, "float64 must be .* whole numbers"),
    (GIVEN, np.eye(2, dtype=int), {}, r"labels \(2, 2\)"),
    (GIVEN, [0, 1], {"batch_size": 0}, "batch_size=0"),
  ],
)
def test_labels_that_do_not_fit_are_refused(
  images, labels, options, message, make_small
):
  model, variables = make_small()
  with pytest.raises(errors.UserError, match=message):
    analysis.measure_shape_bias(model, variables, images, labels, **options)


@pytest.mark.parametrize(
  ("maps", "size"), [(np.ones((2, 2)), (64, 64)), (np.ones((1, 2, 2)), 64)]
)
def test_what_is_no_batch_of_maps_is_refused(maps, size):
  with pytest.raises(errors.UserError, match=r"\[B, h, w\] and \(H, W\)"):
    analysis.upsample(maps, size)


@pytest.mark.parametrize(
  "field", [np.ones((1, 4, 4)), -np.eye(4), np.full((4, 4), np.nan)]
)
def test_what_is_no_field_has_no_extent(field):
  with pytest.raises(errors.UserError, match=r"must be \[H, W\]"):
    analysis.extent(field)


def test_conflicts_are_not_made_of_nans():
  images, _ = BAD["NaN"]
  with pytest.raises(errors.UserError, match="NaN"):
    analysis.cue_conflicts(images, [0, 1], seed=0)


def test_decisions_are_whole_numbers():
  with pytest.raises(errors.UserError, match="float64, int64, int64"):
    analysis.shape_bias([0.9], [0], [1])


def test_params_alone_are_not_the_variables(make_small):
  model, variables = make_small()
  with pytest.raises(errors.UserError, match="params and batch_stats"):
    analysis.depthwise_kernels(
      model, variables["params"], block="stage1/block0"
    )


@pytest.mark.parametrize("stage", [5, 2.0])
def test_what_is_no_stage_has_no_extent(stage, make_small):
  with pytest.raises(errors.UserError, match=f"stage={stage}"):
    analysis.stage_extent(make_small()[0], stage)
