"""Our operations and VAN-B0 on a GPU, against PyTorch's float64 on the host.

  python -m benchmarks.gpu.correct

Every operation with every implementation that runs here, in float32 of full
precision and in bfloat16 with float32 parameters, forward and with all
gradients; then the network's logits and the gradients of a training step
(BatchNorm over the batch, no drop path), in the same two and in float32 as JAX
has it by default, which is TF32 on such GPUs. Errors are norms of differences
over norms. PyTorch's own autocast is measured too, as a yardstick. Programs are
compiled in several threads. Emits a row each.
"""

import argparse
import concurrent.futures
import functools
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu import reference, shapes
from benchmarks.gpu.rows import emit
from van_jax import ops
from van_jax.models.heads import pooling
from van_jax.ops import bilinear

# Sums of some thousand products in float32 in another order, and results (and
# parameters within) that are rounded to 8 bits; of a bias's gradient, a sum of
# rounded numbers, the half may cancel.
TOLERANCES = {"float32": 1e-5, "bfloat16": 2e-2}
_ELSEWHERE = ("numba_cpu", "pallas_tpu")


class Case(NamedTuple):
  """An operation at one size.

  Attributes:
    name: for the table.
    ours: of (implementation, *arrays); arrays may be named on.
    theirs: of tensors.
    sizes: of the arrays: the map first, parameters after it.
    implementations: of ours.
  """

  name: str
  ours: Callable[..., Any]
  theirs: Callable[..., Any]
  sizes: tuple[tuple[int, ...], ...]
  implementations: tuple[str, ...]


def implementations() -> tuple[str, ...]:
  """Returns those of depthwise convolutions that run on GPUs.

  Dry runs on a CPU leave out "auto", whose loops take minutes to compile there.
  """
  known = ops.list_implementations()
  if jax.default_backend() == "cpu":
    known = tuple(name for name in known if name != "auto")
  return tuple(name for name in known if name not in _ELSEWHERE)


def cases(small: bool) -> Iterator[Case]:
  """Yields all operations, at VAN's sizes and at awkward ones."""
  yield from _depthwise(small)
  yield from _elementwise_and_products(small)
  for size in ((28, 28), (5, 9)):
    yield Case(
      f"bilinear resize (2, 14, 14, 8) to {size}",
      lambda _, x, size=size: bilinear.resize(x, size),
      functools.partial(reference.resized, size=size),
      ((2, 14, 14, 8),),
      ("auto",),
    )

  pool = pooling.AdaptiveAveragePool(6)
  yield Case(
    "adaptive average (2, 16, 17, 8) to (6, 6)",
    lambda _, x: pool.apply({}, x),
    functools.partial(reference.pooled, size=6),
    ((2, 16, 17, 8),),
    ("auto",),
  )


def _depthwise(small: bool) -> Iterator[Case]:
  convs = [(2, 9, 11, 5, 3, 1), (1, 13, 8, 24, 7, 3), (3, 6, 6, 8, 4, 2)]
  if not small:
    convs += [
      (4, 56, 56, 32, 5, 1),
      (4, 56, 56, 32, 7, 3),
      (2, 56, 56, 256, 3, 1),
      (4, 28, 28, 64, 7, 3),
      (4, 14, 14, 160, 7, 3),
      (4, 14, 14, 320, 5, 1),
      (8, 7, 7, 256, 7, 3),
      (8, 7, 7, 1024, 3, 1),
    ]
  for *shape, taps, dilation in convs:
    yield _convolution(tuple(shape), taps, dilation)
    if taps == 3:
      yield _convolution_gelu(tuple(shape), taps, dilation)
  if not small and "pallas_gpu" in implementations():
    # "auto" may take it for shapes for which it was shown right.
    for height, channels, taps, dilation in shapes.distinct():
      shape = (2, height, height, channels)
      yield _convolution(shape, taps, dilation)._replace(
        implementations=("pallas_gpu",)
      )


def _elementwise_and_products(small: bool) -> Iterator[Case]:
  ours = ("xla",) if small else ("auto", "xla")
  shape = (2, 14, 14, 24) if small else (4, 28, 28, 160)
  channels = shape[-1]
  yield Case(
    f"gelu {shape}",
    lambda name, x: ops.gelu(x, implementation=name),
    reference.functional.gelu,
    (shape,),
    ours,
  )
  yield Case(
    f"add_bias {shape}",
    lambda _, x, bias: ops.add_bias(x, bias),
    lambda x, bias: x + bias,
    (shape, (channels,)),
    ("auto",),
  )
  yield Case(
    f"pointwise_conv {shape} to {4 * channels}",
    lambda name, x, kernel: ops.pointwise_conv(x, kernel, implementation=name),
    reference.pointwise,
    (shape, (channels, 4 * channels)),
    ours,
  )
  for taps, stride, size, inputs, outputs in (
    (7, 4, 32 if small else 224, 3, 32),
    (3, 2, 8 if small else 56, 32, 64),
    (3, 1, 8 if small else 32, 64, 64),  # Of segmenters' heads.
  ):
    options = {"stride": stride, "padding": taps // 2}
    yield Case(
      f"strided_conv {taps}x{taps}, stride {stride}, {size}x{size}",
      functools.partial(_strided, **options),
      functools.partial(reference.strided, **options),
      ((2, size, size, inputs), (taps, taps, inputs, outputs)),
      ours,
    )


def _strided(name, x, kernel, **options):
  return ops.strided_conv(x, kernel, implementation=name, **options)


def _convolution(shape, taps, dilation) -> Case:
  return Case(
    f"depthwise_conv {shape}, {taps}x{taps}, dilation {dilation}",
    lambda name, x, kernel, bias: ops.depthwise_conv(
      x, kernel, bias=bias, dilation=dilation, implementation=name
    ),
    functools.partial(reference.depthwise, dilation=dilation),
    (shape, (taps, taps, 1, shape[-1]), shape[-1:]),
    implementations(),
  )


def _convolution_gelu(shape, taps, dilation) -> Case:
  return Case(
    f"depthwise_conv_gelu {shape}, {taps}x{taps}, dilation {dilation}",
    lambda name, x, kernel, bias, input_bias: ops.depthwise_conv_gelu(
      x,
      kernel,
      bias=bias,
      input_bias=input_bias,
      dilation=dilation,
      implementation=name,
    ),
    functools.partial(reference.depthwise_gelu, dilation=dilation),
    (shape, (taps, taps, 1, shape[-1]), shape[-1:], shape[-1:]),
    implementations(),
  )


def check(case: Case, dtype: str, name: str) -> dict[str, Any]:
  """Returns the errors of the result and of each gradient."""
  draw = np.random.default_rng(0)
  sizes = case.sizes
  arrays = [jnp.asarray(draw.standard_normal(sizes[0]), dtype)]
  for size in sizes[1:]:
    scale = np.prod(size[:-1]) ** -0.5 if len(size) > 1 else 1
    arrays.append(jnp.asarray(scale * draw.standard_normal(size), jnp.float32))
  ours = functools.partial(case.ours, name)
  y = jax.eval_shape(ours, *arrays)
  gradient = jnp.asarray(draw.standard_normal(y.shape), y.dtype)

  def run(gradient, *arrays):
    y, vjp = jax.vjp(ours, *arrays)
    return y, *vjp(gradient)

  with jax.default_matmul_precision("highest"):
    found = jax.jit(run)(gradient, *arrays)
  exact = reference.results(
    case.theirs,
    [np.asarray(array, np.float64) for array in arrays],
    np.asarray(gradient, np.float64),
  )
  return told(
    [reference.error(a, b) for a, b in zip(found, exact, strict=True)],
    dtype,
  )


def told(errors: list[float], dtype: str) -> dict[str, Any]:
  """Returns a row of errors, forward first, and whether they are small."""
  return {
    "forward": errors[0],
    "gradients": errors[1:],
    "right": max(errors) <= TOLERANCES[dtype],
  }


def main() -> None:
  """Checks all."""
  from benchmarks.gpu import correct_network

  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--small", action="store_true", help="small maps")
  parser.add_argument("--threads", type=int, default=12)
  parser.add_argument("--model", default="van_b0")
  options = parser.parse_args()
  jobs: dict[Any, dict[str, Any]] = {}
  with concurrent.futures.ThreadPoolExecutor(options.threads) as pool:
    # The longest first; what they are compared with, meanwhile. PyTorch's last:
    # should two CUDA libraries in one process not agree, all else is told.
    *longest, (yardstick, of_it) = correct_network.runs(options, pool)
    for run, row in longest:
      jobs[pool.submit(run)] = row
    for case in cases(options.small):
      for dtype in TOLERANCES:
        for name in case.implementations:
          row = {"case": case.name, "dtype": dtype, "name": name}
          jobs[pool.submit(check, case, dtype, name)] = row
    jobs[pool.submit(yardstick)] = of_it
    for job in concurrent.futures.as_completed(jobs):
      try:
        emit(**jobs[job], **job.result())
      except Exception as error:
        traceback.print_exception(error)
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        emit(**jobs[job], error=text[:300])


if __name__ == "__main__":
  main()
