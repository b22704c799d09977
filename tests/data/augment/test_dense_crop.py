"""Crops of images with masks: one geometry, and the rule of two classes."""

import itertools
from typing import Any

import numpy as np
import pairs_on_disk
import pytest

from van_jax import data, errors
from van_jax.data.augment import dense_crop, dense_render
from van_jax.data.images.pixels import opencv

VOID = data.VOID
TABLE = data.MaskNumbering(num_classes=4).table()
PLAIN: dict[str, Any] = {"distortion_probability": 0.0, "fill_color": (1, 2, 3)}


def _crop(mask, uniforms, **options):
  """Returns the crop, its image and its label."""
  how = data.DenseAugmentation(**(PLAIN | options))
  crop, label = dense_crop.draw(mask, TABLE, uniforms, how)
  top, left, h, w = dense_crop.source_box(crop)
  part = np.ascontiguousarray(
    pairs_on_disk.picture(mask)[top : top + h, left : left + w]
  )
  nothing = dense_render.Distortion()
  image = dense_render.render(part, (top, left), crop, nothing, how)
  return crop, image, label


def _uniforms(seed, attempts=10):
  how = data.DenseAugmentation(crop_attempts=attempts)
  rng = np.random.default_rng(seed)
  return rng.random(dense_crop.draws(how)).astype(np.float32)


@pytest.mark.parametrize("seed", range(6))
def test_image_and_label_keep_together_at_their_own_size(seed):
  """Nothing is interpolated at ratio 1: the picture says the number."""
  mask = pairs_on_disk.mask(seed, 80, 100)
  options = {"image_size": 64, "scale": (100, 80), "scale_ratio": (1, 1)}
  crop, image, label = _crop(mask, _uniforms(seed), **options)
  assert crop.resized == (80, 100)
  np.testing.assert_array_equal(image, pairs_on_disk.picture(label))


@pytest.mark.parametrize("seed", range(6))
def test_image_and_label_keep_together_when_resized(seed):
  """Linear and nearest differ by 1.5 outputs at an edge, at twice the size."""
  mask = pairs_on_disk.mask(seed, 80, 100)
  options = {"image_size": 128, "scale": (100, 80), "scale_ratio": (0.6, 2)}
  crop, image, label = _crop(mask, _uniforms(seed), **options)
  rows, columns = crop.window[2:]
  expected = pairs_on_disk.picture(label)[:rows, :columns, 0].astype(int)
  same = np.abs(image[:rows, :columns, 0] - expected) <= 1
  inside = np.ones((rows, columns), bool)
  for steps in itertools.product(range(-2, 3), repeat=2):
    inside &= np.roll(expected, steps, (0, 1)) == expected
  assert inside.mean() > 0.1
  assert same[2:-2, 2:-2][inside[2:-2, 2:-2]].all()


def test_a_small_pair_is_padded_below_and_to_the_right():
  mask = pairs_on_disk.mask(0, 24, 40)
  options = {"image_size": 64, "scale": (40, 24), "scale_ratio": (1, 1)}
  flipped = _uniforms(0)
  flipped[1] = 0.0
  _, image, label = _crop(mask, flipped, **options)
  np.testing.assert_array_equal(label[:24, :40], mask[:, ::-1])
  np.testing.assert_array_equal(
    image[:24, :40], pairs_on_disk.picture(mask)[:, ::-1]
  )
  beyond = np.ones((64, 64), bool)
  beyond[:24, :40] = False
  assert (label[beyond] == VOID).all()
  assert (image[beyond] == (1, 2, 3)).all()


def test_the_flip_mirrors_the_same_crop():
  mask = pairs_on_disk.mask(3, 80, 100)
  options = {"image_size": 64, "scale": (100, 80)}
  uniforms = _uniforms(2)
  uniforms[1] = 0.49
  flipped = _crop(mask, uniforms, **options)
  uniforms[1] = 0.5
  straight = _crop(mask, uniforms, **options)
  assert flipped[0].window == straight[0].window
  np.testing.assert_array_equal(flipped[1], straight[1][:, ::-1])
  np.testing.assert_array_equal(flipped[2], straight[2][:, ::-1])


def _places(mask, corners, **options):
  """Returns where a crop of 32 lies, of corners that are drawn in turn."""
  uniforms = np.zeros(24, np.float32)
  for i, corner in enumerate(corners):
    uniforms[2 + 2 * i : 4 + 2 * i] = corner
  sizes = {"image_size": 32, "scale": (64, 64), "scale_ratio": (1, 1)}
  crop, _, _ = _crop(mask, uniforms, **sizes, **options)
  return crop.window[:2]


def test_a_crop_of_one_class_is_drawn_again():
  """Upper left is sky alone, lower right has half of each."""
  mask = np.zeros((64, 64), np.uint8)
  mask[32:, 48:] = 1
  one, two = (0.0, 0.0), (0.999, 0.999)
  assert _places(mask, [one, one, two]) == (32, 32)
  assert _places(mask, [one, one, two], max_class_share=1.0) == (0, 0)


def test_a_class_of_exactly_the_share_is_drawn_again():
  mask = np.zeros((64, 64), np.uint8)
  mask[:8, :32] = 1  # A quarter of the upper left 32 x 32,
  mask[48:, :32] = 1  # and half of the lower left.
  corners = [(0.0, 0.0), (0.999, 0.0)]
  assert _places(mask, corners, max_class_share=0.75) != (0, 0)
  assert _places(mask, corners, max_class_share=0.76) == (0, 0)


def test_void_does_not_count_as_a_class():
  mask = np.zeros((64, 64), np.uint8)
  mask[:32, :16] = VOID  # Upper left: sky and void.
  mask[32:, 48:] = 1
  assert _places(mask, [(0.0, 0.0), (0.999, 0.999)]) == (32, 32)


def test_the_crop_after_the_last_attempt_is_taken_as_it_is():
  mask = np.zeros((64, 64), np.uint8)
  corners = [(0.0, 0.0)] * 10 + [(0.5, 0.5)]
  assert _places(mask, corners) == (16, 16)


def test_sizes_follow_the_ratio_as_in_mmsegmentation():
  """ADE20K: int(512 ratio) on the short side, int(2048 ratio) on the long."""
  how = data.DenseAugmentation()
  for uniform, size, resized in (
    (0.0, (512, 683), (256, 342)),
    (0.5, (512, 683), (640, 854)),
    (0.5, (200, 2000), (256, 2560)),
  ):
    uniforms = np.zeros(24, np.float32)
    uniforms[0] = uniform
    mask = np.zeros(size, np.uint8)
    crop, _ = dense_crop.draw(mask, TABLE, uniforms, how)
    assert crop.resized == resized


def test_masks_take_the_nearest_number_of_the_whole_resized_mask():
  mask = pairs_on_disk.mask(5, 80, 100)
  options = {"image_size": 64, "scale": (100, 80), "scale_ratio": (1.7, 1.7)}
  uniforms = _uniforms(1)
  uniforms[1] = 0.9
  crop, _, label = _crop(mask, uniforms, **options)
  rows = opencv.nearest(80, crop.resized[0], 0, crop.resized[0])
  columns = opencv.nearest(100, crop.resized[1], 0, crop.resized[1])
  top, left, height, width = crop.window
  whole = mask[rows][:, columns]
  np.testing.assert_array_equal(
    label, whole[top : top + height, left : left + width]
  )


def _distortion(uniforms, **options):
  how = data.DenseAugmentation(**options)
  return dense_render.draw_distortion(np.array(uniforms, np.float32), how)


def test_contrast_comes_first_or_last_by_a_coin():
  drawn = [0.0, 0.0, 0.9, 0.9, 0.75, 0.25, 0.5, 0.5]
  first = _distortion([*drawn, 0.2])
  last = _distortion([*drawn, 0.7])
  assert first == dense_render.Distortion(brightness=16, contrast_first=0.75)
  assert last == dense_render.Distortion(brightness=16, contrast_last=0.75)
  flat = np.full((2, 2, 3), 100, np.uint8)
  dense_render.distort(flat, first)
  assert (flat == 87).all()  # (100 + 16) 0.75.


def test_distortions_are_drawn_from_their_ranges():
  low = _distortion([0.0] * 9)
  assert low == (-32, 0.5, 0.5, -18, None)
  high = _distortion([*[0.49] * 4, *[0.9999999] * 4, 0.0])
  assert high.hue == 17
  assert high[:3] == pytest.approx((32, 1.5, 1.5), abs=1e-4)
  assert _distortion([0.5] * 9) == dense_render.Distortion()


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"image_size": 16}, "image_size=16 must be"),
    ({"scale": (512, 2048)}, "longer side first"),
    ({"scale": (40, 1), "scale_ratio": (0.5, 2)}, "leaves no pixel"),
    ({"scale_ratio": (2, 0.5)}, "0 < low <= high"),
    ({"max_class_share": 1.5}, "at most 1"),
    ({"crop_attempts": -1}, "crop_attempts=-1 must be"),
    ({"hue_delta": 200}, "hue_delta=200 must be at least 0 and at most 90"),
    ({"fill_color": (0, 0, 256)}, "fill_color"),
  ],
)
def test_bad_options_are_refused(options, message):
  with pytest.raises(errors.UserError, match=message):
    data.DenseAugmentation(**options)
