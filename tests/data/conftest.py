"""Small data sets on disk, made once a session."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from van_jax import data

CLASSES = ("ant", "bee", "cat")
PER_CLASS = 14


@pytest.fixture(scope="session")
def digits(digits_directory) -> data.Source:
  return data.open_source(
    name="digits",
    directory=digits_directory,
    train_split="train",
    eval_split="test",
  )


def write_images(folder: pathlib.Path, count: int, seed: int) -> None:
  """Writes smooth coloured images, JPEG and PNG in turn."""
  folder.mkdir(parents=True)
  rng = np.random.default_rng(seed)
  for i in range(count):
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
    image = coarse.resize((48 + i, 40), Image.Resampling.BICUBIC)
    image.save(folder / f"{i:02d}.{('jpg', 'png', 'JPEG')[i % 3]}")


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
  """Returns a fresh folder data set: 42 training and 15 test images."""
  for label, name in enumerate(CLASSES):
    write_images(tmp_path / "train" / name, PER_CLASS, label)
    write_images(tmp_path / "test" / name, 5, 10 + label)
  return tmp_path


@pytest.fixture
def open_folder(folder):
  """Returns the function that opens the folder data set."""

  def open_splits(train_split="train", eval_split="test") -> data.Source:
    return data.open_source(
      name="folder",
      directory=str(folder),
      train_split=train_split,
      eval_split=eval_split,
    )

  return open_splits


@pytest.fixture
def preprocessing() -> data.Preprocessing:
  return data.Preprocessing(
    image_size=32,
    resize_mode="short_side",
    resize_size=36,
    interpolation="bicubic",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
  )
