"""Patch embeddings and 1x1 convolutions: ours against XLA's on a CPU.

  python benchmarks/products.py --models=van_b0,van_b1 --output=products.json

Forward, input gradient and kernel gradient of every patch embedding and 1x1
convolution of the models at 224 pixels, 8 examples, float32: `van_jax.ops`
against lax.conv_general_dilated and, for 1x1, a matrix product with its own
gradients. They take turns; medians are compared. Prints a line a shape, XLA's
time over ours.
"""

import itertools
import json
import os
import pathlib
import statistics
import sys
import time

from absl import app, flags

if os.environ.get("GLIBC_TUNABLES") is None:  # See benchmarks/model.py.
  os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
  os.execv(sys.executable, [sys.executable, *sys.argv])

_MODELS = flags.DEFINE_list("models", ["van_b0", "van_b1"], "Names.")
_BATCH = flags.DEFINE_integer("batch", 8, "Images.")
_ROUNDS = flags.DEFINE_integer("rounds", 15, "Turns of each contestant.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")
DIRECTIONS = ("forward", "input gradient", "kernel gradient")


def main(_) -> None:
  """Prints the table."""
  results = []
  for shape in shapes(_MODELS.value):
    row: dict = dict(zip("HCDks", shape, strict=True))
    for direction in DIRECTIONS:
      if shape[1] > 3 or direction != DIRECTIONS[1]:  # Images have none.
        row[direction] = measure(shape, direction)
    print(json.dumps(row), flush=True)
    results.append(row)
  if _OUTPUT.value:
    pathlib.Path(_OUTPUT.value).write_text(json.dumps(results, indent=2))


def shapes(names: list[str]) -> list[tuple[int, int, int, int, int]]:
  """Returns each (height = width, channels in, out, taps, stride) once."""
  from van_jax import models

  found = {}
  for name in names:
    variant = models.VARIANTS[name]
    before, size = 3, 224
    for stage, width in enumerate(variant.widths):
      taps, stride = (3, 2) if stage else (7, 4)
      found[size, before, width, taps, stride] = None
      before, size = width, size // stride
      hidden = int(width * variant.ffn_ratios[stage])
      for pair in ((width, width), (width, hidden), (hidden, width)):
        found[size, *pair, 1, 1] = None
  return list(found)


def measure(shape, direction: str) -> float:
  """Returns XLA's time over ours."""
  import jax
  from jax import lax

  from van_jax import ops

  H, C, D, taps, stride = shape
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (_BATCH.value, H, H, C))
  kernel = jax.random.normal(keys[1], (taps, taps, C, D))
  side = H // stride
  gradient = jax.random.normal(keys[2], (_BATCH.value, side, side, D))

  def by_xla(x, kernel):
    if taps == 1:
      y = x.reshape(-1, C) @ kernel[0, 0]
      return y.reshape(gradient.shape)
    return lax.conv_general_dilated(
      x,
      kernel,
      (stride, stride),
      ((taps // 2, taps // 2),) * 2,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )

  def by_us(x, kernel):
    if taps == 1:
      return ops.pointwise_conv(x, kernel[0, 0])
    return ops.strided_conv(x, kernel, stride=stride, padding=taps // 2)

  def program(convolve):
    def run(x, kernel, gradient):
      if direction == DIRECTIONS[0]:
        return convolve(x, kernel)
      if direction == DIRECTIONS[1]:
        return jax.vjp(lambda x: convolve(x, kernel), x)[1](gradient)
      return jax.vjp(lambda kernel: convolve(x, kernel), kernel)[1](gradient)

    return jax.jit(run)

  programs = (program(by_xla), program(by_us))
  seconds: tuple[list[float], list[float]] = ([], [])
  for turn, n in itertools.product(range(_ROUNDS.value + 2), range(2)):
    start = time.perf_counter()
    jax.block_until_ready(programs[n](x, kernel, gradient))
    if turn > 1:
      seconds[n].append(time.perf_counter() - start)
  xla, ours = map(statistics.median, seconds)
  return round(xla / ours, 2)


if __name__ == "__main__":
  app.run(main)
