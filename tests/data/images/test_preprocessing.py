"""Preprocessing: the pipeline's pixels are PIL's, and its fields."""

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from van_jax import data, errors
from van_jax.data.images import centre_crop, decode

CROPPED = data.Preprocessing(
  image_size=224,
  resize_mode="short_side",
  resize_size=248,
  interpolation="bicubic",
  mean=(0.5, 0.5, 0.5),
  std=(0.5, 0.5, 0.5),
)
WARPED = dataclasses.replace(CROPPED, resize_mode="warp", resize_size=224)


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
  """Returns scikit-learn's two photographs, uint8 [427, 640, 3]."""
  return datasets.load_sample_images().images


def _encoded(pixels, format_="JPEG", **options):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format_, **options)
  return file.getvalue()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("mode", [CROPPED, WARPED])
@pytest.mark.parametrize("size", [(427, 640), (300, 250), (100, 120)])
def test_evaluation_sees_pils_pixels(photographs, interpolation, mode, size):
  preprocessing = dataclasses.replace(mode, interpolation=interpolation)
  for pixels in photographs:
    encoded = _encoded(np.ascontiguousarray(pixels[: size[0], : size[1]]))
    ours = centre_crop.preprocess(encoded, preprocessing)
    pil = data.preprocess_image(Image.open(io.BytesIO(encoded)), preprocessing)
    assert ours.shape == pil.shape == (224, 224, 3)
    np.testing.assert_array_equal(ours, pil)


def test_landscape_pixels_are_those_of_one_call_of_pils(photographs):
  pixels = photographs[0][:, :569]  # 4 : 3, as most photographs.
  found = data.preprocess_image(pixels, WARPED)
  bicubic = Image.Resampling.BICUBIC
  expected = Image.fromarray(pixels).resize((224, 224), bicubic)
  np.testing.assert_array_equal(found, np.asarray(expected))


def test_decoding_equals_pils(photographs):
  encoded = _encoded(photographs[0], quality=75)
  pil = np.asarray(Image.open(io.BytesIO(encoded)))
  ours = decode.decode(encoded).numpy()
  np.testing.assert_array_equal(ours, pil)


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_grey_images_become_rgb(photographs, format_):
  encoded = _encoded(np.ascontiguousarray(photographs[0][..., 0]), format_)
  ours = decode.decode(encoded).numpy()
  assert ours.shape == (427, 640, 3)
  assert (ours == ours[..., :1]).all()


def test_path_array_and_image_give_the_same(photographs, tmp_path):
  path = tmp_path / "a.png"
  Image.fromarray(photographs[0]).save(path)
  expected = data.preprocess_image(photographs[0], CROPPED)
  for image in (path, str(path), Image.open(path)):
    found = data.preprocess_image(image, CROPPED)
    np.testing.assert_array_equal(found, expected)


def test_short_side_crop_is_central():
  pixels = np.zeros((40, 80, 3), np.uint8)
  pixels[:, 24:56] = 255  # The centre, 32 wide; 4 rows are cut above, below.
  preprocessing = dataclasses.replace(CROPPED, image_size=32, resize_size=40)
  assert (data.preprocess_image(pixels, preprocessing) == 255).all()


def test_file_that_is_no_image_is_named(tmp_path):
  path = tmp_path / "no.jpg"
  path.write_text("hello")
  with pytest.raises(ValueError, match=r"no\.jpg is damaged or not"):
    data.preprocess_image(path, CROPPED)


@pytest.mark.parametrize(
  "array", [np.zeros((40, 40, 3)), np.zeros((40, 40, 4), np.uint8)]
)
def test_arrays_of_other_kinds_are_refused(array):
  with pytest.raises(ValueError, match=r"image\.(dtype|shape)="):
    data.preprocess_image(array, CROPPED)


def test_json_round_trip_keeps_everything():
  text = json.dumps(CROPPED.to_json())
  assert data.Preprocessing.from_json(json.loads(text)) == CROPPED


@pytest.mark.parametrize(
  "change", [lambda f: f.pop("mean"), lambda f: f.update(crop=1)]
)
def test_json_with_other_fields_is_refused(change):
  fields = CROPPED.to_json()
  change(fields)
  with pytest.raises(ValueError, match="must have exactly"):
    data.Preprocessing.from_json(fields)


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("image_size", 16),
    ("image_size", 224.0),
    ("resize_mode", "crop"),
    ("resize_size", 200),
    ("interpolation", "cubic"),
    ("mean", (0.5, 0.5)),
    ("mean", 0.5),
    ("std", (0.5, 0.0, 0.5)),
  ],
)
def test_bad_fields_are_named(field, value):
  with pytest.raises(ValueError, match=rf"Preprocessing\.{field}="):
    dataclasses.replace(CROPPED, **{field: value})


@pytest.mark.parametrize("field", ["mean", "std"])
def test_values_of_0_to_255_pixels_are_refused_with_the_right_ones(field):
  value = (123.675, 116.28, 103.53)  # 255 times (0.485, 0.456, 0.406).
  message = rf"Preprocessing\.{field}=.*{field}=\(0\.485, 0\.456, 0\.406\)"
  with pytest.raises(errors.UserError, match=message):
    dataclasses.replace(CROPPED, **{field: value})
  with pytest.raises(errors.UserError, match=message):  # As in a bundle.
    data.Preprocessing.from_json(CROPPED.to_json() | {field: list(value)})


def test_a_mean_and_a_spread_of_one_are_taken():
  assert data.Preprocessing(mean=(1, 1, 1), std=(1, 1, 1)).std == (1.0,) * 3


def test_exif_rotation_is_stored_where_it_is_on():
  """Bundles without it are those that earlier versions read, and wrote."""
  turning = dataclasses.replace(CROPPED, exif_rotation=True)
  assert data.Preprocessing.from_json(turning.to_json()) == turning
  assert "exif_rotation" not in CROPPED.to_json()


def test_exif_rotation_is_true_or_false():
  with pytest.raises(errors.UserError, match=r"exif_rotation='yes' must be"):
    data.Preprocessing(exif_rotation="yes")  # type: ignore[arg-type]
