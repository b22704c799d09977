"""The suites in miniature, and what a network must score on them.

Folders are those of the authors' archives; images are small, and some lie in
the class that the network takes them for, so that scores are not near 0.
What must be scored is computed here anew: PIL, NumPy, one image at a time.
"""

import dataclasses
import functools
import io
import json
import pathlib

import jax
import numpy as np
from PIL import Image

from van_jax import bundle as bundle_lib, data, models
from van_jax.interop.facts import imagenet

IDS = imagenet.wordnet_ids()
SIZE, STORED = 32, 40  # Of the network; of the images, but ImageNet-C's.
NETWORK = {
  "name": "van_b0",
  "num_classes": 1000,
  "widths": (8, 8, 16, 16),
  "depths": (1, 1, 1, 1),
  "ffn_ratios": (2, 2, 2, 2),
  "implementation": "xla",
}


def save_network(path: pathlib.Path) -> bundle_lib.Bundle:
  """Writes a bundle of a random network whose answers differ by image."""
  model = models.create_model(**NETWORK)
  images = np.zeros((1, SIZE, SIZE, 3), np.float32)
  init = jax.jit(functools.partial(model.init, train=False))
  variables = jax.device_get(init(jax.random.key(7), images))
  kernel = variables["params"]["head"]["kernel"]
  variables["params"]["head"]["kernel"] = kernel * 50  # Spreads the logits.
  bundle_lib.save_bundle(
    path,
    model=model,
    variables=variables,
    preprocessing=data.Preprocessing(
      image_size=SIZE,
      resize_mode="short_side",
      resize_size=STORED,
      interpolation="bicubic",
      mean=(0.4, 0.5, 0.6),
      std=(0.5, 0.4, 0.3),
    ),
    source={"format": "test"},
  )
  return bundle_lib.load_bundle(path)


@dataclasses.dataclass(frozen=True)
class Pool:
  """Images of one size, encoded, and the network's logits for them, [N, K]."""

  files: list[bytes]
  logits: np.ndarray


def make_pool(bundle: bundle_lib.Bundle, count: int, side: int) -> Pool:
  """Draws images; the network sees the middle of each."""
  numbers = np.random.default_rng(side)
  files, crops = [], []
  for _ in range(count):
    coarse = Image.fromarray(numbers.integers(0, 256, (4, 4, 3), np.uint8))
    image = coarse.resize((side, side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "PNG")
    files.append(file.getvalue())
    edge = (side - SIZE) // 2
    crops.append(np.asarray(image)[edge : edge + SIZE, edge : edge + SIZE])
  own = bundle.preprocessing
  images = (np.stack(crops) / 255.0 - own.mean) / own.std
  apply = jax.jit(functools.partial(bundle.model.apply, train=False))
  logits = apply(bundle.variables, images.astype(np.float32))
  return Pool(files, np.asarray(logits))


def assign(pool: Pool, classes: np.ndarray, known: int) -> dict[int, list[int]]:
  """Returns pool indices by class; the first `known` lie where they belong.

  Every class gets an image. Of the known ones, every third lies in the class
  that comes second.
  """
  placed = {int(c): [] for c in classes}
  for i in range(known):
    best = classes[np.argsort(-pool.logits[i, classes])]
    placed[int(best[int(i % 3 == 0)])].append(i)
  spare = iter(range(known, len(pool.files)))
  for images in placed.values():
    if not images:
      images.append(next(spare))
  return placed


def write(
  folder: pathlib.Path,
  pool: Pool,
  placed: dict[int, list[int]],
  names: tuple[str, ...] = IDS,
) -> dict[str, tuple[int, int]]:
  """Writes folder/CLASS/FILE; returns (pool index, class) by file name."""
  written = {}
  for label, images in placed.items():
    (folder / names[label]).mkdir(parents=True)
    for i in images:
      # Spread over the numbers of the validation set, none twice.
      file = f"ILSVRC2012_val_{1 + len(written) * 31:08d}.JPEG"
      (folder / names[label] / file).write_bytes(pool.files[i])
      written[file] = (i, label)
  return written


def write_real(
  path: pathlib.Path, written: dict[str, tuple[int, int]]
) -> dict[str, list[int]]:
  """Writes real.json; returns the label lists by file name, some empty."""
  numbers = np.random.default_rng(3)
  lists = [[] for _ in range(50_000)]
  by_name = {}
  for n, (file, (_, label)) in enumerate(written.items()):
    labels = [label, *numbers.integers(0, 1000, n % 4).tolist()]
    by_name[file] = [] if n % 5 == 0 else labels[n % 2 :]
    lists[int(file[15:23]) - 1] = by_name[file]
  path.write_text(json.dumps(lists))
  return by_name


def score(
  pool: Pool, pairs: list[tuple[int, list[int]]], classes: np.ndarray
) -> dict[str, float]:
  """Returns what is right among some classes: (pool index, right labels)."""
  tops = [
    classes[np.argsort(-pool.logits[i, classes], kind="stable")][:5]
    for i, _ in pairs
  ]
  right = [np.isin(t, ls) for t, (_, ls) in zip(tops, pairs, strict=True)]
  return {
    "top1": sum(bool(r[0]) for r in right) / len(pairs),
    "top5": sum(bool(r.any()) for r in right) / len(pairs),
    "count": len(pairs),
  }
