"""Speed of the input pipeline against Pillow in two worker processes.

  python -m benchmarks.input --directory=DIR [--output=input.json]
  python -m benchmarks.input --directory=DIR --cores [--short_side=256]

With --cores it is `host_cores.py`'s report: how many cores a chip needs.

DIR holds class folders of JPEGs. Ours is `van_jax.data` in one process; the
peer does the same work as timm does it, with Pillow's operations in the two
worker processes of a PyTorch DataLoader that hands over uint8 batches. Both
take turns, a few seconds each; figures are images/s, medians over the turns,
and the ratio of medians. Mixing, erasing and normalisation happen on the device
on both sides, and are left out.
"""

import argparse
import io
import itertools
import json
import math
import pathlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from benchmarks import host_cores
from configs import default
from van_jax import data

BATCH = 64
WORKERS = 2
FILL = (128, 128, 128)
RESAMPLING = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
TASKS = {
  "training (RandAugment)": "randaugment",
  "training (plain Inception crop)": "none",
  "evaluation (248, crop 224)": "evaluation",
}


def train_with_pillow(encoded: bytes, policy: str) -> np.ndarray:
  """Crops, flips and augments an image as timm 0.4.12 does."""
  image = Image.open(io.BytesIO(encoded)).convert("RGB")
  left, top, width, height = _box(*image.size)
  image = image.crop((left, top, left + width, top + height))
  image = image.resize((224, 224), random.choice(RESAMPLING))
  if random.random() < 0.5:
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  if policy == "randaugment":
    for operation in random.choices(OPERATIONS, k=2):
      if random.random() < 0.5:
        level = min(10.0, max(0.0, random.gauss(9, 0.5)))
        image = operation(image, level / 10, random.choice((1, -1)))
  return np.asarray(image)


def evaluate_with_pillow(encoded: bytes) -> np.ndarray:
  """Resizes the short side to 248 and takes the central 224 x 224."""
  image = Image.open(io.BytesIO(encoded)).convert("RGB")
  width, height = image.size
  short = min(width, height)
  width, height = width * 248 // short, height * 248 // short
  image = image.resize((width, height), Image.Resampling.BICUBIC)
  left, top = round((width - 224) / 2), round((height - 224) / 2)
  return np.asarray(image.crop((left, top, left + 224, top + 224)))


def _box(width: int, height: int) -> tuple[int, int, int, int]:
  """Draws a random resized crop: left, top, width, height."""
  for _ in range(10):
    area = width * height * random.uniform(0.08, 1)
    ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
    w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    if w <= width and h <= height:
      return random.randint(0, width - w), random.randint(0, height - h), w, h
  short = min(width, height)
  return (width - short) // 2, (height - short) // 2, short, short


def _moved(
  matrix: Callable[..., tuple[float, ...]],
) -> Callable[..., Image.Image]:
  def move(image, part, sign):
    return image.transform(
      image.size,
      Image.Transform.AFFINE,
      matrix(sign * part, *image.size),
      resample=random.choice(RESAMPLING),
      fillcolor=FILL,
    )

  return move


def _enhanced(enhancer: Callable[..., ImageEnhance._Enhance]):
  return lambda image, part, sign: enhancer(image).enhance(
    1 + sign * 0.9 * part
  )


def _rotated(image, part, sign):
  how = random.choice(RESAMPLING)
  return image.rotate(sign * 30 * part, resample=how, fillcolor=FILL)


def _brightened(image, part, sign):
  del sign
  added = int(110 * part)
  return image.point(
    [min(255, i + added) if i < 128 else i for i in range(256)] * 3
  )


OPERATIONS = (
  lambda image, part, sign: ImageOps.autocontrast(image),
  lambda image, part, sign: ImageOps.equalize(image),
  lambda image, part, sign: ImageOps.invert(image),
  _rotated,
  lambda image, part, sign: ImageOps.posterize(
    image, max(1, 4 - int(4 * part))
  ),
  lambda image, part, sign: ImageOps.solarize(image, 256 - int(256 * part)),
  _brightened,
  _enhanced(ImageEnhance.Color),
  _enhanced(ImageEnhance.Contrast),
  _enhanced(ImageEnhance.Brightness),
  _enhanced(ImageEnhance.Sharpness),
  _moved(lambda part, w, h: (1, 0.3 * part, 0, 0, 1, 0)),
  _moved(lambda part, w, h: (1, 0, 0, 0.3 * part, 1, 0)),
  _moved(lambda part, w, h: (1, 0, 0.45 * part * w, 0, 1, 0)),
  _moved(lambda part, w, h: (1, 0, 0, 0, 1, 0.45 * part * h)),
)


class PillowImages(torch.utils.data.Dataset):
  """The images of one task, prepared by Pillow; runs in the workers."""

  def __init__(self, files: list[str], task: str):
    self._encoded = [pathlib.Path(file).read_bytes() for file in files]
    self._task = task

  def __len__(self) -> int:
    return 10**9  # Endless.

  def __getitem__(self, index: int) -> np.ndarray:
    encoded = self._encoded[index % len(self._encoded)]
    if self._task == "evaluation":
      return evaluate_with_pillow(encoded)
    return train_with_pillow(encoded, self._task)


def collate(images: list[np.ndarray]) -> torch.Tensor:
  """Returns uint8 [B, H, W, 3]."""
  return torch.from_numpy(np.stack(images))


def pillow_batches(files: list[str], task: str) -> Iterator[torch.Tensor]:
  """Returns endless batches out of two worker processes."""
  loader = torch.utils.data.DataLoader(
    PillowImages(files, task),
    batch_size=BATCH,
    collate_fn=collate,
    num_workers=WORKERS,
  )
  return iter(loader)


def our_batches(
  source: data.Source, task: str
) -> Iterator[dict[str, np.ndarray]]:
  """Returns endless batches of the official recipe, or of evaluation."""
  config = default.get_config()
  if task == "evaluation":
    preprocessing = data.Preprocessing(**config.preprocessing)
    batches = data.eval_batches(
      source, batch_size=BATCH, preprocessing=preprocessing
    )
    return itertools.chain.from_iterable(itertools.repeat(batches))
  config.augmentation.policy = task
  config.augmentation.color_jitter = 0.0
  augmentation = data.Augmentation(**config.augmentation)
  return data.train_batches(
    source, augmentation=augmentation, batch_size=BATCH, seed=0
  )


def speed(batches: Iterator, seconds: float) -> float:
  """Returns images/s."""
  for _ in range(6):  # What has been made in the other's turn.
    next(batches)
  start, done = time.perf_counter(), 0
  while time.perf_counter() - start < seconds:
    batch = next(batches)
    # A pass of evaluation ends with a batch that is not full.
    done += (
      int(batch["mask"].sum())
      if isinstance(batch, dict) and "mask" in batch
      else BATCH
    )
  return done / (time.perf_counter() - start)


def _copied(
  directory: pathlib.Path, times: int, to: pathlib.Path
) -> pathlib.Path:
  """Returns a directory below `to` with several links to every image."""
  copied = to / directory.name
  for file in directory.glob("*/*.[Jj][Pp]*[Gg]"):
    folder = copied / file.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(times):
      (folder / f"{i:03d}_{file.name}").symlink_to(file)
  return copied


def main() -> None:
  """Compares on links to the images that the command line names."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--directory", required=True, type=pathlib.Path)
  parser.add_argument(
    "--copies", type=int, default=20, help="links to each image: longer epochs"
  )
  parser.add_argument("--turns", type=int, default=7)
  parser.add_argument("--seconds", type=float, default=3.0, help="a turn")
  parser.add_argument("--output", type=pathlib.Path)
  parser.add_argument(
    "--cores", action="store_true", help="report the cores that a chip needs"
  )
  parser.add_argument(
    "--batches", type=int, default=16, help="of 32 a turn, with --cores"
  )
  parser.add_argument(
    "--short_side", type=int, help="of a smaller copy, beside the images"
  )
  options = parser.parse_args()
  with tempfile.TemporaryDirectory() as scratch:
    directory = _copied(
      options.directory.resolve(), options.copies, pathlib.Path(scratch)
    )
    if options.cores:
      rows = host_cores.report(
        directory,
        short_side=options.short_side,
        turns=options.turns,
        batches_a_turn=options.batches,
        scratch=pathlib.Path(scratch),
      )
    else:
      rows = compare(directory, options)
  if options.output:
    options.output.write_text(json.dumps(rows, indent=2) + "\n")


def compare(
  directory: pathlib.Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
  """Prints the ratios on a directory, and returns them."""
  files = sorted(map(str, options.directory.glob("*/*.[Jj][Pp]*[Gg]")))
  # Workers are forked: before TensorFlow, which starts with our first batch.
  peers = {task: pillow_batches(files, task) for task in TASKS.values()}
  for batches in peers.values():
    next(batches)
  source = data.open_source(
    name="folder",
    directory=str(directory.parent),
    train_split=directory.name,
    eval_split=directory.name,
  )
  rows = []
  for title, task in TASKS.items():
    sides = {"van_jax": our_batches(source, task), "pillow": peers.pop(task)}
    speeds = {name: [] for name in sides}
    for _ in range(options.turns):
      for name, batches in sides.items():
        speeds[name].append(speed(batches, options.seconds))
    medians = {name: statistics.median(runs) for name, runs in speeds.items()}
    rows.append(
      {
        "task": title,
        "ratio": medians["van_jax"] / medians["pillow"],
        **medians,
      }
    )
    print("{task:32} {ratio:5.2f} times Pillow".format(**rows[-1]), flush=True)
  return rows


if __name__ == "__main__":
  main()
