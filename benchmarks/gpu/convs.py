"""Each depthwise convolution of VAN-B0 to B2 on a GPU, in microseconds.

  python -m benchmarks.gpu.convs --framework=jax

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
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.gpu.rows import emit, parse
from benchmarks.gpu.shapes import DIRECTIONS, MODELS, Shape, distinct

_BLOCKS = 3  # Of which the fastest counts.
_LEAST_US = 80.0  # Of the floor of one program.
_AGAIN = 75  # The status of a process that another is to go on for.


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


def copies(floor_us: float, most: int) -> int:
  """Returns how many inputs one program has."""
  return min(most, math.ceil(_LEAST_US / floor_us))


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


def cases(
  options: argparse.Namespace, names: Sequence[str], bandwidth: float
) -> list[tuple[str, float, Convolution]]:
  """Returns (name, floor in microseconds, what) of all, in their order.

  B0's come first, and the sum of shifted maps last: its kernel gradient is a
  loop over examples, which CPUs like.
  """
  item_bytes = 4 if options.dtype == "float32" else 2
  found = []
  models = options.models.split(",")
  first = set(distinct(models[:1], options.size))
  for shape in distinct(models, options.size)[: options.most]:
    floor = shape.floor_us(options.batch, item_bytes, bandwidth)
    for name in names:
      slow = name == "shifted_sum"
      count = 1 if slow else copies(floor, options.copies)
      for direction in DIRECTIONS:
        conv = Convolution(
          shape, options.batch, options.dtype, direction, count
        )
        order = (slow, shape not in first, names.index(name))
        found.append((order, name, floor, conv))
  found.sort(key=lambda case: case[0])
  return [(name, floor, conv) for _, name, floor, conv in found]


def measure(options: argparse.Namespace, side: Any, bandwidth: float) -> None:
  """Emits a row for each case from the first that is asked for.

  Several are compiled at once, and measured when all of them are there. What
  takes too long gets a row that says so, and ends the process: a computation on
  a device cannot be stopped otherwise.
  """
  left = cases(options, side.names(), bandwidth)[options.first :]
  while left:
    chunk, left = left[: options.threads], left[options.threads :]
    pool = concurrent.futures.ThreadPoolExecutor(options.threads)
    made = [pool.submit(side.program, name, conv) for name, _, conv in chunk]
    late = concurrent.futures.wait(made, options.limit).not_done
    for (name, floor, conv), program in zip(chunk, made, strict=True):
      row = {**conv.shape._asdict(), "batch": conv.batch, "dtype": conv.dtype}
      row |= {"direction": conv.direction, "name": name}
      row["floor_us"] = round(floor, 2)
      if program in late:
        emit(**row, error=f"not compiled in {options.limit} s")
        continue
      watch = threading.Timer(options.limit, _end, [row, options.limit])
      watch.start()
      try:
        taken = microseconds(program.result(), options.seconds) / conv.copies
        found = {"microseconds": round(taken, 2), "copies": conv.copies}
      except Exception as error:
        traceback.print_exception(error)
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        found = {"error": text[:300]}
      watch.cancel()
      emit(**row, **found, beside_compilations=bool(late))
    if late:
      os._exit(_AGAIN)
    del made, program


def _end(row: dict[str, Any], limit: float) -> None:
  emit(**row, error=f"took over {limit} s")
  os._exit(_AGAIN)


def supervise() -> int:
  """Runs the same command in processes that may end early; returns a status."""
  done = 0
  while True:
    command = [sys.executable, "-m", "benchmarks.gpu.convs", *sys.argv[1:]]
    process = subprocess.Popen(
      [*command, f"--first={done}"], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout or ():
      print(line, end="", flush=True)
      done += "direction" in (parse(line) or {})
    if process.wait() != _AGAIN:
      return process.returncode


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
  parser.add_argument("--seconds", type=float, default=0.05, help="of each")
  parser.add_argument("--limit", type=float, default=25, help="seconds of each")
  parser.add_argument("--threads", type=int, default=12)
  parser.add_argument("--most", type=int, default=None, help="shapes")
  parser.add_argument("--copies", type=int, default=16, help="inputs at most")
  parser.add_argument("--copy_bytes", type=int, default=1 << 30)
  parser.add_argument("--first", type=int, default=None, help="case")
  options = parser.parse_args()
  if options.first is None:
    sys.exit(supervise())
  side = importlib.import_module(f"benchmarks.gpu.convs_{options.framework}")
  taken = microseconds(side.copy(options.copy_bytes), 0.2)
  bandwidth = 2 * options.copy_bytes / taken / 1e3
  if not options.first:
    name = options.framework
    emit(name=name, copy_gb_per_second=round(bandwidth))
  measure(options, side, bandwidth)


if __name__ == "__main__":
  main()
