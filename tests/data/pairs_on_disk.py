"""Small data sets of images and masks, whose numbers are known."""

import pathlib
from typing import Any

import numpy as np
from PIL import Image

from van_jax import data

CLASSES = ("sky", "road", "car", "tree")


def mask(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
  """Returns blocks of 8 x 8 pixels of classes 0 to 3, and void, 255."""
  rng = np.random.default_rng(seed)
  blocks = rng.choice([0, 1, 2, 3, 255], (height // 8 + 1, width // 8 + 1))
  return blocks.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8)


def picture(of: np.ndarray) -> np.ndarray:
  """Returns the image that is as light as the mask's numbers, uint8 RGB."""
  return np.repeat((of[..., None] % 251) * 40 + 30, 3, -1).astype(np.uint8)


def write(
  directory: pathlib.Path,
  split: str,
  sizes: list[tuple[int, int]],
  *,
  images: str = "images",
  masks: str = "labels",
  first: int = 0,
) -> list[np.ndarray]:
  """Writes a pair a size, called 00, 01, ...; returns the masks."""
  for folder in (images, masks):
    (directory / folder / split).mkdir(parents=True, exist_ok=True)
  written = []
  for i, size in enumerate(sizes):
    numbers = mask(first + i, *size)
    picture_ = Image.fromarray(picture(numbers))
    picture_.save(directory / images / split / f"{i:02d}.png")
    Image.fromarray(numbers).save(directory / masks / split / f"{i:02d}.png")
    written.append(numbers)
  return written


def open_pairs(
  directory: pathlib.Path,
  train: str | None = "train",
  evaluation: str | None = None,
  **options: Any,
) -> data.Source:
  """Returns the source of such a folder."""
  on_damaged = options.pop("on_damaged", "raise")
  return data.open_source(
    name="pairs",
    directory=str(directory),
    train_split=train,
    eval_split=evaluation,
    on_damaged=on_damaged,
    options={"class_names": CLASSES, **options},
  )
