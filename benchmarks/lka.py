"""Depthwise convolutions of VAN one by one, in milliseconds.

  python benchmarks/lka.py --models=van_b0,van_b2,van_b5 --output=lka.json

Every shape of the models' large kernel attention and feed-forward layers at an
image size, forward (with bias) and backward (gradients for the map, the kernel
and the bias), by each implementation of `van_jax.ops` and by PyTorch in
channels_last. They take turns, so that what else the machine does hits all of
them; medians are compared. `auto` of `van_jax/ops` rests on this table. Prints
a line a shape; needs jax, flax, optax and torch.
"""

import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from absl import app, flags

if os.environ.get("GLIBC_TUNABLES") is None:  # See benchmarks/model.py.
  os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
  os.execv(sys.executable, [sys.executable, *sys.argv])

_MODELS = flags.DEFINE_list(
  "models", ["van_b0", "van_b2", "van_b5", "van_b6_paper"], "Names."
)
_SIZE = flags.DEFINE_integer("size", 224, "Pixels a side of the images.")
_BATCH = flags.DEFINE_integer("batch", 8, "Images.")
_DTYPE = flags.DEFINE_string("dtype", "float32", "Of the maps.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Turns of each contestant.")
_CONVS = flags.DEFINE_list(
  "convs", ["numba_cpu", "shifted_sum"], "Ours; xla takes minutes on a CPU."
)
_TORCH = flags.DEFINE_bool("torch", True, "Compare with PyTorch.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")


def main(_) -> None:
  """Prints the table."""
  from van_jax.ops.check import shapes

  results = []
  for shape in shapes(_MODELS.value, _SIZE.value):
    for direction in ("forward", "backward"):
      row: dict = dict(zip("HCkd", shape, strict=True)) | {
        "direction": direction
      }
      row["milliseconds"] = measure(shape, direction)
      row |= summary(row["milliseconds"])
      print(json.dumps(row), flush=True)
      results.append(row)
  if _OUTPUT.value:
    pathlib.Path(_OUTPUT.value).expanduser().write_text(
      json.dumps(results, indent=2)
    )


def measure(shape, direction: str) -> dict[str, float]:
  """Returns the median milliseconds of each contestant."""
  runs = {conv: jax_run(shape, direction, conv) for conv in _CONVS.value}
  if _TORCH.value:
    runs["torch"] = torch_run(shape, direction)
  seconds: dict[str, list[float]] = {name: [] for name in runs}
  for run in runs.values():
    run()
  for _ in range(_ROUNDS.value):
    for name, run in runs.items():
      run()  # Brings its maps back into the cache.
      for _ in range(3):
        start = time.perf_counter()
        run()
        seconds[name].append(time.perf_counter() - start)
  return {
    name: round(1e3 * statistics.median(taken), 3)
    for name, taken in seconds.items()
  }


def summary(milliseconds: dict[str, float]) -> dict:
  """Returns our fastest, and how many times as fast as PyTorch it is."""
  ours = {k: v for k, v in milliseconds.items() if k != "torch"}
  best = min(ours, key=lambda name: ours[name])
  if "torch" not in milliseconds:
    return {"best": best}
  return {"best": best, "ratio": round(milliseconds["torch"] / ours[best], 2)}


def jax_run(shape, direction: str, conv: str) -> Callable[[], object]:
  """Returns a function that runs one of our implementations."""
  import jax
  import jax.numpy as jnp

  from van_jax import ops

  H, C, k, d = shape
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (_BATCH.value, H, H, C), _DTYPE.value)
  kernel = jax.random.normal(keys[1], (k, k, 1, C))
  bias = jnp.ones(C)
  gradient = jax.random.normal(keys[2], x.shape, _DTYPE.value)

  def forward(x, kernel, bias, gradient):
    return ops.depthwise_conv(
      x, kernel, bias=bias, dilation=d, implementation=conv
    )

  def backward(x, kernel, bias, gradient):
    _, vjp = jax.vjp(
      lambda x, kernel, bias: forward(x, kernel, bias, None), x, kernel, bias
    )
    return vjp(gradient)

  run = jax.jit(forward if direction == "forward" else backward)
  return lambda: jax.block_until_ready(run(x, kernel, bias, gradient))


def torch_run(shape, direction: str) -> Callable[[], object]:
  """Returns a function that runs PyTorch's."""
  import torch

  H, C, k, d = shape
  device = "cuda" if torch.cuda.is_available() else "cpu"
  if device == "cpu":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
  dtype = getattr(torch, _DTYPE.value)
  conv: Any = torch.nn.Conv2d(
    C, C, k, padding=d * (k - 1) // 2, dilation=d, groups=C
  )
  layout: Any = torch.channels_last
  conv = conv.to(device, dtype).to(memory_format=layout)
  x = torch.randn(_BATCH.value, C, H, H, device=device, dtype=dtype)
  x = x.to(memory_format=torch.channels_last).requires_grad_()
  gradient = torch.randn_like(x)
  y = conv(x)

  def wait():
    if device == "cuda":
      torch.cuda.synchronize()

  def forward():
    with torch.no_grad():
      conv(x)
    wait()

  def backward():
    torch.autograd.grad(y, (x, *conv.parameters()), gradient, retain_graph=True)
    wait()

  return forward if direction == "forward" else backward


if __name__ == "__main__":
  app.run(main)
