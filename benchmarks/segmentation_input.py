"""Speed of the pairs' input pipeline against OpenCV in two worker processes.

  pip install opencv-python-headless
  python -m benchmarks.segmentation_input --directory=DIR [--output=x.json]

DIR holds images/train and labels/train. Ours is `van_jax.data` in one process;
the peer does what mmsegmentation does for the same recipe (masks by Pillow, all
else by OpenCV and NumPy) in the two worker processes of a PyTorch DataLoader
that hands over uint8 batches. Both take turns; figures are images/s, medians
over the turns, and the ratio of medians. Normalisation is left out on both
sides: it happens on the device.
"""

import argparse
import io
import itertools
import json
import pathlib
import statistics
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from benchmarks import input as classification
from van_jax import data

WORKERS = 2


class OpenCVPairs(torch.utils.data.Dataset):
  """The pairs, prepared by OpenCV; runs in the workers."""

  def __init__(
    self,
    files: list[tuple[pathlib.Path, pathlib.Path]],
    how: data.DenseAugmentation,
  ):
    self._encoded = [
      (image.read_bytes(), mask.read_bytes()) for image, mask in files
    ]
    self._how = how

  def __len__(self) -> int:
    return 10**9  # Endless.

  def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
    import cv2  # pyright: ignore[reportMissingImports]

    cv2.setNumThreads(0)  # As mmsegmentation's workers have it.
    rng = np.random.default_rng(index)
    encoded, mask = self._encoded[rng.integers(len(self._encoded))]
    pixels = np.frombuffer(encoded, np.uint8)
    image = cv2.imdecode(pixels, cv2.IMREAD_COLOR)
    label = np.array(Image.open(io.BytesIO(mask)))
    ratio = rng.uniform(*self._how.scale_ratio)
    long, short = (int(side * ratio) for side in self._how.scale)
    height, width = label.shape
    scale = min(long / max(height, width), short / min(height, width))
    size = (int(width * scale + 0.5), int(height * scale + 0.5))
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
    image, label = _cropped(image, label, self._how, rng)
    if rng.random() < self._how.flip_probability:
      image, label = cv2.flip(image, 1), cv2.flip(label, 1)
    image = _distorted(image, self._how, rng)
    return _padded(image, label, self._how)


def _cropped(image, label, how, rng):
  """Crops a pair, again while one class has too much of it."""
  height, width = (min(side, how.image_size) for side in label.shape)
  for attempt in range(how.crop_attempts + 1):
    top = rng.integers(label.shape[0] - height + 1)
    left = rng.integers(label.shape[1] - width + 1)
    place = np.s_[top : top + height, left : left + width]
    classes, counts = np.unique(label[place], return_counts=True)
    counts = counts[classes != data.VOID]
    mixed = len(counts) > 1 and counts.max() / counts.sum()
    if attempt < how.crop_attempts and mixed and mixed < how.max_class_share:
      break
  return image[place], label[place]


def _distorted(image, how, rng):
  """Distorts the colours of an image, BGR."""
  import cv2  # pyright: ignore[reportMissingImports]

  def changed(values, alpha, beta):
    values = values.astype(np.float32) * alpha + beta
    return np.clip(values, 0, 255).astype(np.uint8)

  def contrast(image):
    if rng.random() < how.distortion_probability:
      image = changed(image, rng.uniform(*how.contrast_range), 0)
    return image

  if rng.random() < how.distortion_probability:
    delta = how.brightness_delta
    image = changed(image, 1, rng.uniform(-delta, delta))
  first = rng.random() < 0.5
  if first:
    image = contrast(image)
  if rng.random() < how.distortion_probability:
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[..., 1] = changed(hsv[..., 1], rng.uniform(*how.saturation_range), 0)
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
  if rng.random() < how.distortion_probability:
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    turn = rng.integers(-how.hue_delta, how.hue_delta)
    hsv[..., 0] = (hsv[..., 0].astype(int) + turn) % 180
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
  return image if first else contrast(image)


def _padded(image, label, how):
  """Pads a pair to the crop's size; RGB."""
  size = how.image_size
  out = np.empty((size, size, 3), np.uint8)
  out[:] = how.fill_color
  numbers = np.full((size, size), data.VOID, np.uint8)
  height, width = label.shape
  out[:height, :width] = image[..., ::-1]
  numbers[:height, :width] = label
  return out, numbers


def collate(pairs: list[tuple[np.ndarray, np.ndarray]]) -> torch.Tensor:
  """Returns images and labels in one tensor, uint8 [B, S, S, 4]."""
  return torch.from_numpy(
    np.stack([np.dstack([image, label]) for image, label in pairs])
  )


def main() -> None:
  """Compares on the pairs that the command line names."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--directory", required=True, type=pathlib.Path)
  parser.add_argument("--split", default="train")
  parser.add_argument("--num_classes", type=int, default=12)
  parser.add_argument("--image_size", type=int, default=512)
  parser.add_argument("--scale", type=int, nargs=2, default=(2048, 512))
  parser.add_argument("--turns", type=int, default=5)
  parser.add_argument("--seconds", type=float, default=4.0, help="a turn")
  parser.add_argument("--output", type=pathlib.Path)
  options = parser.parse_args()
  how = data.DenseAugmentation(
    image_size=options.image_size, scale=tuple(options.scale)
  )
  # Workers are forked: before TensorFlow, which starts with our first batch.
  files = [
    (path, options.directory / "labels" / options.split / f"{path.stem}.png")
    for path in sorted((options.directory / "images" / options.split).iterdir())
  ]
  peer = iter(
    torch.utils.data.DataLoader(
      OpenCVPairs(files, how),
      batch_size=classification.BATCH,
      collate_fn=collate,
      num_workers=WORKERS,
    )
  )
  next(peer)
  source = data.open_source(
    name="pairs",
    directory=str(options.directory),
    train_split=options.split,
    eval_split=None,
    options={"num_classes": options.num_classes},
  )
  ours = data.train_batches(
    source, augmentation=how, batch_size=classification.BATCH
  )
  sides: dict[str, Iterator] = {"van_jax": ours, "opencv": peer}
  speeds = {name: [] for name in sides}
  for _, (name, batches) in itertools.product(
    range(options.turns), sides.items()
  ):
    speeds[name].append(classification.speed(batches, options.seconds))
  row = {name: statistics.median(runs) for name, runs in speeds.items()}
  row["ratio"] = row["van_jax"] / row["opencv"]
  print(json.dumps(row))
  if options.output:
    options.output.write_text(json.dumps(row, indent=2) + "\n")


if __name__ == "__main__":
  main()
