"""Whole images: their sizes, and the two steps of the authors' resizing."""

import json
import zlib

import pytest
from PIL import Image
from sklearn import datasets

from van_jax import data, errors


@pytest.mark.parametrize(
  ("size", "resized", "seen"),
  [
    ((512, 683), (512, 683), (512, 704)),  # The most of ADE20K.
    ((683, 512), (683, 512), (704, 512)),
    ((360, 480), (512, 683), (512, 704)),
    ((200, 2000), (205, 2048), (224, 2048)),  # The long side decides.
    ((1000, 1000), (512, 512), (512, 512)),
  ],
)
def test_the_network_sees_whole_images_of_multiples_of_32(size, resized, seen):
  to = data.DensePreprocessing()
  assert to.resized(*size) == resized
  assert to.network_size(*size) == seen


def test_no_scale_keeps_the_image_but_for_the_rounding_up():
  to = data.DensePreprocessing(scale=None, multiple=8)
  assert to.network_size(33, 40) == (40, 40)


def test_images_are_resized_in_two_steps_as_by_the_authors(tmp_path):
  """CRC-32 of two calls of cv2.resize: to 100 x 134, then to 128 x 160."""
  pixels = datasets.load_sample_images().images[1][:300, :401]
  to = data.DensePreprocessing(scale=(200, 100))
  Image.fromarray(pixels).save(tmp_path / "flower.png")
  for image in (pixels, Image.fromarray(pixels), tmp_path / "flower.png"):
    found = data.preprocess_whole(image, to)
    assert found.shape == (128, 160, 3)
    assert zlib.crc32(found.tobytes()) == 2524584919


@pytest.mark.parametrize(
  ("scale", "ratio", "resized", "seen", "crc"),
  [
    # Not 160 x 224, of the 128 x 160 that the network sees at 1.
    ((200, 100), 1.25, (125, 167), (128, 192), 921296367),
    ((333, 99), 0.55, (54, 72), (64, 96), 1275568169),  # Of (183, 54): cut.
    (None, 0.5, (150, 200), (160, 224), 3018783587),  # Of (200, 150).
  ],
)
def test_a_ratio_is_of_the_scale_and_resizes_the_image_itself(
  scale, ratio, resized, seen, crc
):
  """CRC-32 of two calls of cv2.resize, to what `resized` and `seen` say."""
  pixels = datasets.load_sample_images().images[1][:300, :401]
  to = data.DensePreprocessing(scale=scale)
  assert to.resized(300, 401, ratio) == resized
  assert to.network_size(300, 401, ratio) == seen
  found = data.preprocess_whole(pixels, to, ratio=ratio)
  assert zlib.crc32(found.tobytes()) == crc


def test_json_gives_the_same_preprocessing():
  for to in (
    data.DensePreprocessing(scale=(480, 360), mean=(0.5, 0.4, 0.3)),
    data.DensePreprocessing(scale=None, exif_rotation=True),
  ):
    text = json.dumps(to.to_json())
    assert data.DensePreprocessing.from_json(json.loads(text)) == to


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"scale": (512, 2048)}, r"longer side first: \(2048, 512\)"),
    ({"scale": (2048,)}, "two whole numbers of pixels"),
    ({"multiple": 0}, "multiple=0 must be a whole number, at least 1"),
    ({"mean": (123.675, 116.28, 103.53)}, "divide it by 255"),
    ({"std": (0.0, 1.0, 1.0)}, "above 0 in every channel"),
  ],
)
def test_bad_fields_are_refused(fields, message):
  with pytest.raises(errors.UserError, match=message):
    data.DensePreprocessing(**fields)
