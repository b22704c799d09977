"""Each depthwise convolution of VAN-B0 to B2 on a GPU, in microseconds.

  python -m benchmarks.gpu_convs --framework=jax

By each implementation of ours, or by PyTorch in both layouts, forward, for the
input and for the kernel, beside the time that moving two maps takes at the
bandwidth of a large copy, which is measured first. Parameters are float32 for
ours, as in a model. One program has several inputs where maps are small, so
that the time to start it is spread and no cache holds them all; PyTorch's is
replayed as a CUDA graph. Where an implementation computes both gradients at
once each column has the whole. Emits a row a measurement.
"""

import argparse
import concurrent.futures
import importlib
import math
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.gpu_rows import emit
from benchmarks.gpu_shapes import DIRECTIONS, MODELS, Shape, distinct

_BLOCKS = 3  # Of which the fastest counts.
_LEAST_US = 80.0  # Of the floor of one program.
_MOST_COPIES = 16


class Convolution(NamedTuple):
  """What is measured.

  Attributes:
    shape: of it.
    batch: images.
    dtype: of the maps.
    direction: of `DIRECTIONS`.
    copies: with inputs of their own, in one program.
  """

  shape: Shape
  batch: int
  dtype: str
  direction: str
  copies: int


def copies(floor_us: float) -> int:
  """Returns how many inputs one program has."""
  return min(_MOST_COPIES, math.ceil(_LEAST_US / floor_us))


def microseconds(run: Callable[[int], None], seconds: float) -> float:
  """Returns those of a run, in the fastest of some blocks.

  Args:
    run: runs so many times, and waits for the last.
    seconds: of all blocks together; a slow run is timed once.
  """
  run(1)
  start = time.perf_counter()
  run(1)
  once = time.perf_counter() - start
  if once > seconds:
    return 1e6 * once
  count = max(1, round(seconds / _BLOCKS / once))
  taken = []
  for _ in range(_BLOCKS):
    start = time.perf_counter()
    run(count)
    taken.append((time.perf_counter() - start) / count)
  return 1e6 * min(taken)


def measure(
  options: argparse.Namespace, side: Any, bandwidth: float, shape: Shape
) -> None:
  """Emits the rows of one shape."""
  item_bytes = 4 if options.dtype == "float32" else 2
  floor = shape.floor_us(options.batch, item_bytes, bandwidth)
  cases = [
    (name, Convolution(shape, options.batch, options.dtype, way, copies(floor)))
    for way in DIRECTIONS
    for name in side.names()
  ]
  # Compiled in several threads, and measured when all are there.
  with concurrent.futures.ThreadPoolExecutor(options.threads) as pool:
    made = [(*case, pool.submit(side.program, *case)) for case in cases]
    concurrent.futures.wait([program for *_, program in made])
  for name, conv, program in made:
    row = {**shape._asdict(), "batch": conv.batch, "dtype": conv.dtype}
    row |= {"direction": conv.direction, "name": name}
    row["floor_us"] = round(floor, 2)
    try:
      taken = microseconds(program.result(), options.seconds) / conv.copies
      emit(**row, microseconds=round(taken, 2), copies=conv.copies)
    except Exception as error:
      traceback.print_exception(error)
      text = f"{type(error).__name__}: {error}".splitlines()[0]
      emit(**row, error=text[:300])


def main() -> None:
  """Measures all shapes, B0's first."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--framework", choices=("jax", "torch"), required=True)
  parser.add_argument("--models", default=",".join(MODELS))
  parser.add_argument("--batch", type=int, default=256)
  parser.add_argument("--size", type=int, default=224, help="pixels a side")
  parser.add_argument("--dtype", default="bfloat16")
  parser.add_argument("--seconds", type=float, default=0.05)
  parser.add_argument("--threads", type=int, default=12)
  parser.add_argument("--most", type=int, default=None, help="shapes")
  parser.add_argument("--copy_bytes", type=int, default=1 << 30)
  options = parser.parse_args()
  side = importlib.import_module(f"benchmarks.gpu_convs_{options.framework}")
  taken = microseconds(side.copy(options.copy_bytes), 0.2)
  bandwidth = 2 * options.copy_bytes / taken / 1e3
  emit(name=side.__name__.split("_")[-1], copy_gb_per_second=round(bandwidth))
  names = options.models.split(",")
  for shape in distinct(names, options.size)[: options.most]:
    measure(options, side, bandwidth, shape)


if __name__ == "__main__":
  main()
