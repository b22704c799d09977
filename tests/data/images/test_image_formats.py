"""One reading of pixels: `preprocess_image` and the pipeline see the same."""

import dataclasses
import io
import itertools

import encoded
import numpy as np
import plain
import pytest
from PIL import Image

from van_jax import data
from van_jax.data.augment import crop
from van_jax.data.images import decode, reading
from van_jax.data.tensorflow import tf

READ = encoded.read()
REFUSED = encoded.refused()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
  """Returns a folder data set: splits "read" and "turned", of a class each."""
  directory = tmp_path_factory.mktemp("formats")
  turned = {f"{i}.jpg": encoded.turned(i) for i in range(1, 9)}
  turned |= {"6.png": encoded.turned(6, "PNG")}
  turned |= {"6.webp": encoded.turned(6, "WEBP")}
  for split, files in (("read", READ), ("turned", turned)):
    (directory / split / "one").mkdir(parents=True)
    for name, content in files.items():
      (directory / split / "one" / name).write_bytes(content)
  return directory


def _evaluated(directory, split, preprocessing):
  """Returns the pixels of evaluation, by the file's path."""
  source = data.open_source(
    name="folder", directory=str(directory), train_split=None, eval_split=split
  )
  evaluation = source.evaluation
  assert evaluation is not None
  batches = data.eval_batches(
    source, batch_size=source.num_eval, preprocessing=preprocessing
  )
  (batch,) = batches
  names = [evaluation.describe(i) for i in range(source.num_eval)]
  return dict(zip(names, batch["image"], strict=True))


@pytest.fixture(scope="module")
def small():
  return data.Preprocessing(image_size=32, resize_size=36)


@pytest.fixture(scope="module")
def evaluated(directory, small):
  return _evaluated(directory, "read", small)


@pytest.mark.parametrize("name", READ)
def test_predict_and_evaluation_see_the_same_pixels(
  name, evaluated, directory, small
):
  path = directory / "read" / "one" / name
  seen = data.preprocess_image(path, small)
  np.testing.assert_array_equal(evaluated[str(path)], seen)


@pytest.mark.parametrize("name", READ)
def test_training_decodes_what_predict_reads(name):
  expected = np.asarray(reading.read(READ[name]))
  assert expected.shape == (40, 50, 3)
  decode_crop = crop.cropper(plain.augmentation())
  image, _ = decode_crop(tf.constant(READ[name]), tf.constant([0, 0], tf.int64))
  np.testing.assert_array_equal(image.numpy(), expected)


@pytest.mark.parametrize("name", [n for n in READ if "16" not in n])
def test_pixels_are_those_of_pillows_conversion(name):
  """As torchvision and timm read images."""
  image = Image.open(io.BytesIO(READ[name]))
  if isinstance(image.info.get("transparency"), bytes):  # Pillow warns.
    image = image.convert("RGBA")
  expected = np.asarray(image.convert("RGB"))
  np.testing.assert_array_equal(reading.pixels(READ[name]), expected)


@pytest.mark.parametrize("name", [n for n in READ if "16" in n])
def test_of_16_bits_the_upper_eight_are_seen(name):
  channels = [] if "grey" in name else [4]
  upper = (encoded.levels(*channels) >> 8).astype(np.uint8)
  expected = np.broadcast_to(
    upper[..., :3] if channels else upper[..., None], (40, 50, 3)
  )
  found = reading.pixels(READ[name])
  # JPEG 2000 loses a little, at its smallest loss.
  tolerance = 1 if name.endswith(".j2k") else 0
  assert np.abs(found.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("name", REFUSED)
def test_predict_and_pipeline_refuse_with_the_same_line(name, tmp_path, small):
  path = tmp_path / "test" / "one" / name
  path.parent.mkdir(parents=True)
  path.write_bytes(REFUSED[name])
  with pytest.raises(ValueError, match="or not an image that can be") as said:
    data.preprocess_image(path, small)
  line = str(said.value).removesuffix(".")
  assert line.startswith(f"{path} is damaged")
  if path.suffix in (".tga", ".ico"):  # They are not listed, so renamed.
    path = path.rename(path.with_suffix(".png"))
    line = line.replace(name, path.name)
  with pytest.raises(ValueError, match="is damaged or not") as said:
    _evaluated(tmp_path, "test", small)
  assert str(said.value).startswith(f"{line}; ")


def test_a_picture_given_as_an_object_is_read_alike(small):
  image = Image.open(io.BytesIO(READ["grey16.png"]))
  found = data.preprocess_image(image, small)
  expected = data.preprocess_image(reading.read(READ["grey16.png"]), small)
  np.testing.assert_array_equal(found, expected)


def test_a_damaged_picture_given_as_an_object_is_one_line(small):
  image = Image.open(io.BytesIO(REFUSED["cut.jpg"]))
  with pytest.raises(ValueError, match="the image cannot be read: image file"):
    data.preprocess_image(image, small)


@pytest.mark.parametrize(
  "make", [lambda p: None, lambda p: p.mkdir()], ids=["missing", "folder"]
)
def test_predict_says_what_is_no_file(tmp_path, small, make):
  make(tmp_path / "x.jpg")
  with pytest.raises(ValueError, match=r"x\.jpg cannot be read: (No such|Is)"):
    data.preprocess_image(tmp_path / "x.jpg", small)


def test_predict_reads_a_path_below_home(tmp_path, small, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  (tmp_path / "a.png").write_bytes(READ["a.png"])
  found = data.preprocess_image("~/a.png", small)
  expected = data.preprocess_image(tmp_path / "a.png", small)
  np.testing.assert_array_equal(found, expected)


def _upright(path):
  """Returns a picture turned by Pillow's own hand."""
  from PIL import ImageOps

  with Image.open(path) as image:
    return ImageOps.exif_transpose(image).convert("RGB")


def test_exif_rotation_turns_images_in_evaluation_and_predict(directory, small):
  turning = dataclasses.replace(small, exif_rotation=True)
  seen = _evaluated(directory, "turned", turning)
  assert len(seen) == 10
  for path, image in seen.items():
    expected = data.preprocess_image(_upright(path), small)
    np.testing.assert_array_equal(image, expected, err_msg=path)
    found = data.preprocess_image(path, turning)
    np.testing.assert_array_equal(found, expected, err_msg=path)


def test_exif_rotation_is_ignored_where_it_is_not_asked_for(directory, small):
  for path, image in _evaluated(directory, "turned", small).items():
    with Image.open(path) as unturned:
      expected = data.preprocess_image(unturned.convert("RGB"), small)
    np.testing.assert_array_equal(image, expected, err_msg=path)


@pytest.mark.parametrize("turning", [False, True])
def test_exif_rotation_turns_training_images(directory, turning):
  source = data.open_source(
    name="folder",
    directory=str(directory),
    train_split="turned",
    eval_split=None,
    exif_rotation=turning,
  )
  split = source.train
  assert split is not None
  batches = data.train_batches(
    source, augmentation=plain.augmentation(), batch_size=10, seed=0
  )
  (batch,) = itertools.islice(batches, 1)
  expected = set()
  for i in range(10):
    with Image.open(split.describe(i)) as image:
      shown = image.convert("RGB")
    if turning:
      shown = _upright(split.describe(i))
    # Width first, as everywhere.
    shown = shown.resize((32, shown.height), Image.Resampling.BICUBIC)
    shown = shown.resize((32, 32), Image.Resampling.BICUBIC)
    expected.add(np.asarray(shown).tobytes())
  assert {image.tobytes() for image in batch["image"]} == expected


def test_a_part_of_a_turned_image_is_of_the_turned_one():
  content = encoded.turned(6)
  whole = reading.pixels(content, exif_rotation=True)
  part, place = decode.decode_box(
    tf.constant(content), lambda h, w: [3, 5, 20, 10], exif_rotation=True
  )
  assert place.numpy().tolist() == [3, 5, 50, 40]
  np.testing.assert_array_equal(part.numpy(), whole[3:23, 5:15])


def test_damaged_exif_data_turn_nothing():
  content = encoded.turned(6).replace(b"II*\0", b"XX*\0")
  content = content.replace(b"MM\0*", b"XX\0*")
  assert content != encoded.turned(6)
  found = reading.pixels(content, exif_rotation=True)
  np.testing.assert_array_equal(found, reading.pixels(content))


def test_exif_rotation_that_is_no_bool_is_refused():
  with pytest.raises(ValueError, match=r"data\.exif_rotation=1 must be True"):
    data.open_source(name="folder", directory=".", exif_rotation=1)  # type: ignore[arg-type]
