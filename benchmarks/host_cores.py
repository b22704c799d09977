"""How many host cores a chip needs: images a CPU second of each recipe.

  python -m benchmarks.input --directory=DIR --cores [--short_side=256]

A host that feeds C chips, each of which takes S images/s, needs C * S / R cores
where a recipe makes R images a CPU second; S is the images that a chip has of a
batch over the seconds of a step. R counts the seconds that all threads of the
process computed, so that a busy machine disturbs it less than it does images/s;
a vCPU is half a core where two share one. Recipes take turns, and figures are
medians. `--short_side` adds a copy that `van_jax.data.resize` makes of the same
images, read the same way.
"""

import pathlib
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

from configs import default
from van_jax import data
from van_jax.data import resize

BATCH = 32
RECIPES: dict[str, dict[str, Any]] = {
  "official": {},
  "randaugment_probability=0.25": {"randaugment_probability": 0.25},
  "three_augment": {"policy": "three_augment", "color_jitter": 0.3},
  "no policy": {"policy": "none", "color_jitter": 0.0},
}
CHIPS = (250, 500, 1000, 2000, 4000)  # Images/s of one.
_WAIT = 1.0  # Seconds: on a busy machine threads wait for their turn.


def report(
  directory: pathlib.Path,
  *,
  short_side: int | None,
  turns: int,
  batches_a_turn: int,
  scratch: pathlib.Path,
) -> list[dict[str, Any]]:
  """Measures and prints; returns a row a recipe.

  Args:
    directory: has class folders of JPEGs.
    short_side: of a smaller copy to measure too; None for none.
    turns: of every recipe.
    batches_a_turn: of 32 images.
    scratch: folder for the copy.
  """
  sources = {"": _open("folder", directory.parent, directory.name)}
  if short_side:
    name = resize.resize(
      "folder",
      str(directory.parent),
      output=str(scratch),
      short_side=short_side,
      train_split=directory.name,
      eval_split="",
    )
    sources[f", short side {short_side}"] = _open(name, scratch, directory.name)
  batches = {
    f"{recipe}{suffix}": _batches(source, changes)
    for recipe, changes in RECIPES.items()
    for suffix, source in sources.items()
  }
  speeds: dict[str, list[float]] = {title: [] for title in batches}
  for _ in range(turns):
    for title, iterator in batches.items():
      speeds[title].append(_images_a_cpu_second(iterator, batches_a_turn))
  rows = [_row(title, found, speeds) for title, found in speeds.items()]
  _print(rows)
  return rows


def _open(name: str, directory: pathlib.Path, split: str) -> data.Source:
  return data.open_source(
    name=name, directory=str(directory), train_split=split, eval_split=None
  )


def _batches(
  source: data.Source, changes: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
  config = default.get_config()
  augmentation = data.Augmentation(**{**config.augmentation, **changes})
  return data.train_batches(
    source, augmentation=augmentation, batch_size=BATCH, seed=0
  )


def _images_a_cpu_second(batches: Iterator, count: int) -> float:
  """Takes batches, between two moments at which all buffers are full."""
  next(batches)  # Begins reading, and compiles.
  before = _settled()
  for _ in range(count):
    next(batches)
  return count * BATCH / (_settled() - before)


def _settled() -> float:
  """Waits until no thread computes; returns the CPU seconds until then."""
  before = -1.0
  while (now := time.process_time()) > before + 0.01 * _WAIT:
    before = now
    time.sleep(_WAIT)
  return now


def _row(
  title: str, found: list[float], speeds: Mapping[str, list[float]]
) -> dict[str, Any]:
  """Returns a recipe's figures; those over the official's are paired."""
  official = speeds["official"]
  ratios = [own / other for own, other in zip(found, official, strict=True)]
  speed = statistics.median(found)
  return {
    "recipe": title,
    "images_a_cpu_second": speed,
    "over_official": statistics.median(ratios),
    "cores_a_chip": {str(rate): rate / speed for rate in CHIPS},
  }


def _print(rows: list[dict[str, Any]]) -> None:
  rates = " | ".join(f"{rate:,}" for rate in CHIPS)
  print(f"| recipe | images a CPU second | over official | {rates} |")
  print("|" + "---|" * (3 + len(CHIPS)))
  for row in rows:
    cores = " | ".join(f"{n:.1f}" for n in row["cores_a_chip"].values())
    print(
      f"| {row['recipe']} | {row['images_a_cpu_second']:.0f} | "
      f"{row['over_official']:.2f} | {cores} |"
    )
  print("The last columns: cores a chip that takes so many images/s.")
