"""Labels by the name of a class folder, or by the number in a file's name."""

import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from van_jax import data
from van_jax.data.sources import record_split, relabelled

NUMBERS = tuple(str(i) for i in range(1000))
FILE = "ILSVRC2012_val_{:08d}.JPEG"


@pytest.fixture
def write(tmp_path):
  """Returns a function that writes images below a folder's class folders."""

  def write(*files):
    for file in files:
      path = tmp_path / "val" / file
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.new("RGB", (32, 32)).save(path, "PNG")
    return str(tmp_path)

  return write


def test_numbered_folders_are_not_in_the_order_of_their_names(write):
  root = write("10/a.png", "2/a.png", "2/b.png", "999/a.png")
  split = relabelled.list_classes(root, "val", NUMBERS)
  by_file = dict(zip(split.files, split.labels.tolist(), strict=True))
  assert by_file == {
    "10/a.png": 10,
    "2/a.png": 2,
    "2/b.png": 2,
    "999/a.png": 999,
  }
  assert split.class_names == NUMBERS


def test_what_is_fetched_has_the_new_labels(write):
  root = write("10/a.png", "2/a.png")
  split = relabelled.list_classes(root, "val", NUMBERS)
  fetched = [split.fetch(handle) for _, handle in split.sequence(0, 2)]
  labels = [int(parts["label"]) for parts in fetched]
  assert labels == [10, 2]  # Files in the order of their names.


@pytest.mark.parametrize("name", ["n01440764", "1000", "01", "images"])
def test_a_folder_of_another_name_is_an_error(write, name):
  root = write(f"{name}/a.png", "2/a.png")
  with pytest.raises(ValueError, match=f"val holds the folders {name}, and"):
    relabelled.list_classes(root, "val", NUMBERS)


def test_validation_images_are_labelled_with_their_number(write):
  root = write(f"b/{FILE.format(1)}", f"a/{FILE.format(50_000)}")
  split = relabelled.list_classes(root, "val", ("a", "b"))
  assert relabelled.number_files(split).labels.tolist() == [49_999, 0]


@pytest.mark.parametrize(
  "name", [FILE.format(0), FILE.format(50_001), "1.JPEG", "x" + FILE.format(1)]
)
def test_a_validation_image_of_another_name_is_an_error(write, name):
  split = relabelled.list_classes(write(f"a/{name}"), "val", ("a",))
  with pytest.raises(ValueError, match=f"val/a/{name} must be called"):
    relabelled.number_files(split)


def test_a_validation_image_in_two_classes_is_an_error(write):
  root = write(f"b/{FILE.format(7)}", f"a/{FILE.format(7)}")
  split = relabelled.list_classes(root, "val", ("a", "b"))
  with pytest.raises(ValueError, match=f"a/{FILE.format(7)} and b/"):
    relabelled.number_files(split)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  """Returns a TFDS directory with eleven images in ImageNet's layout."""
  directory = str(tmp_path_factory.mktemp("tfds"))
  tfds.dataset_builders.store_as_tfds_dataset(
    name="imagenet2012",
    version="5.1.0",
    features=tfds.features.FeaturesDict(
      {
        "image": tfds.features.Image(encoding_format="png"),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
        "file_name": tfds.features.Text(),
      }
    ),
    split_datasets={
      "validation": [
        (
          n,
          {
            "image": np.full((32, 32, 3), n, np.uint8),
            "label": n % 2,
            "file_name": FILE.format(1000 * n + 1),
          },
        )
        for n in range(11)
      ]
    },
    data_dir=directory,
  )
  return directory


def open_numbered(directory, split_name):
  where = {"name": "imagenet2012", "directory": directory}
  source = data.open_source(**where, train_split=None, eval_split=split_name)
  assert source.evaluation is not None
  return relabelled.number_records(
    source.evaluation, **where, split_name=split_name
  )


def pixels_and_numbers(split):
  decode = tfds.features.Image().decode_example
  fetched = [split.fetch(handle) for _, handle in split.sequence(0, split.size)]
  return {int(decode(p["image"])[0, 0, 0]): int(p["label"]) for p in fetched}


@pytest.mark.parametrize("split_name", ["validation", "validation[3:9]"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_records_are_labelled_with_their_images_number(
  prepared, monkeypatch, in_memory, split_name
):
  if not in_memory:
    monkeypatch.setattr("van_jax.data.sources.tfds.MAX_BYTES_IN_MEMORY", 0)
  split = open_numbered(prepared, split_name)
  assert isinstance(split, record_split.RecordSplit) != in_memory
  found = pixels_and_numbers(split)
  assert len(found) == (11 if split_name == "validation" else 6)
  assert all(number == 1000 * pixel for pixel, number in found.items())


def test_records_without_file_names_are_an_error(digits_directory):
  source = data.open_source(
    name="digits",
    directory=digits_directory,
    train_split=None,
    eval_split="test",
  )
  assert dataclasses.is_dataclass(source.evaluation)
  with pytest.raises(ValueError, match="must have 'file_name'"):
    relabelled.number_records(
      source.evaluation,  # pyright: ignore
      name="digits",
      directory=digits_directory,
      split_name="test",
    )
