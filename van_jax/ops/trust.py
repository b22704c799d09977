"""Comparing our kernels with XLA's convolution before they are trusted.

Kernels that were written for hardware which nobody here had may be wrong on it
or not compile at all. A program asks once, when it starts.
"""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import backend

from van_jax.ops import by_platform, depthwise
from van_jax.ops.gpu import proven

KERNELS = {"cpu": "numba_cpu", "cuda": "pallas_gpu", "tpu": "pallas_tpu"}
KINDS = ("forward", "input gradient", "kernel gradient", "bias gradient")
# Of the largest result. Sums of some thousand products in float32 differ by
# 1e-6 in another order; bfloat16 results are rounded by 2**-9 at the end.
_TOLERANCES = {"float32": 1e-4, "bfloat16": 2**-7}


@dataclasses.dataclass(frozen=True)
class Case:
  """A depthwise convolution to compare by.

  Attributes:
    shape: [B, H, W, C] of the map.
    taps: along each axis.
    dilation: distance between neighbouring taps.
    dtype: "float32" or "bfloat16", of the map.
  """

  shape: tuple[int, int, int, int]
  taps: int
  dilation: int
  dtype: str = "float32"

  def arrays(self) -> tuple[jax.Array, ...]:
    """Returns x, kernel, bias and the result's gradient, drawn at random."""
    keys = jax.random.split(jax.random.key(0), 4)
    channels = self.shape[-1]
    sizes = (self.shape, (self.taps, self.taps, 1, channels), (channels,))
    return tuple(
      jax.random.normal(key, size, self.dtype)
      for key, size in zip(keys, (*sizes, self.shape), strict=True)
    )

  def convolve(self, implementation: str, *arrays: jax.Array) -> Any:
    """Returns the result for x, kernel and bias."""
    x, kernel, bias = arrays
    return depthwise.depthwise_conv(
      x,
      kernel,
      bias=bias,
      dilation=self.dilation,
      implementation=implementation,
    )

  def results(self, implementation: str, arrays: tuple[jax.Array, ...]) -> Any:
    """Returns the result and the gradients, in the order of KINDS."""
    *inputs, gradient = arrays
    y, vjp = jax.vjp(
      lambda *inputs: self.convolve(implementation, *inputs), *inputs
    )
    return y, *vjp(gradient)


_CASES = tuple(
  Case((8, 14, 14, 160), taps=7, dilation=3, dtype=dtype)
  for dtype in _TOLERANCES
)


def verify_kernels(
  platform: str | None = None,
  *,
  all_trust: Callable[[bool], bool] = lambda trusted: trusted,
) -> bool:
  """Compares each kernel kind with XLA's once, on one small shape.

  If one differs or fails, that is logged, and "auto" means "xla" in whatever
  this process traces afterwards.

  Args:
    platform: whose kernels; by default the one in use, if its kernels have
      not proved themselves on their hardware yet.
    all_trust: from what this process found to what is decided: processes that
      run one program together must all decide alike.

  Returns:
    whether the kernels are trusted.
  """
  if platform is None:
    platform = platform_here()
    if platform not in _unproven():
      return True
  trusted = all_trust(all(_agrees(case, KERNELS[platform]) for case in _CASES))
  if not trusted:
    logging.getLogger(__name__).error(
      "implementation='auto' is XLA's from here on, on all of %s: please file "
      "what `python -m van_jax.ops.check` prints.",
      platform,
    )
    by_platform.distrust()
  return trusted


def platform_here() -> str:
  """Returns JAX's name of the platform that programs are lowered for here."""
  platform = jax.default_backend()
  if platform != "gpu":
    return platform
  version = backend.get_backend().platform_version
  return "rocm" if "rocm" in version.lower() else "cuda"


def _unproven() -> tuple[str, ...]:
  """Returns the platforms whose kernels "auto" takes, proven on none of them.

  Those of GPUs have run on one card where they are taken: not on all.
  """
  return ("cuda", "tpu") if proven.FASTER else ("tpu",)


def differences(
  case: Case, implementation: str
) -> dict[str, tuple[float, ...]]:
  """Returns (largest difference, ours there, XLA's there, largest of XLA's).

  XLA's are computed in float32, of the numbers that the case's dtype has.

  Args:
    case: what to compute.
    implementation: whose.

  Returns:
    them by kind.
  """
  arrays = case.arrays()
  ours = jax.jit(lambda *arrays: case.results(implementation, arrays))(*arrays)
  with jax.default_matmul_precision("highest"):  # A TPU's is bfloat16 else.
    exact = jax.jit(lambda *arrays: case.results("xla", arrays))(
      *(array.astype(jnp.float32) for array in arrays)
    )
  found = {}
  for kind, a, b in zip(KINDS, ours, exact, strict=True):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    error = np.abs(a - b)
    at = np.argmax(np.where(np.isnan(error), np.inf, error))
    found[kind] = tuple(
      float(n)
      for n in (error.flat[at], a.flat[at], b.flat[at], np.abs(b).max())
    )
  return found


def is_close(case: Case, difference: float, largest: float) -> bool:
  """Returns whether rounding explains a difference; never that of a NaN."""
  return difference <= _TOLERANCES[case.dtype] * largest


def _agrees(case, implementation):
  """Returns whether all kinds agree; logs those that do not."""
  log = logging.getLogger(__name__)
  try:
    found = differences(case, implementation)
  except Exception as error:  # Whatever a compiler we never saw may raise.
    log.error("%s fails on %s: %s", implementation, case, error, exc_info=True)
    return False
  agreed = True
  for kind, (difference, ours, xla, largest) in found.items():
    if not is_close(case, difference, largest):
      agreed = False
      log.error(
        "%s of %s on %s differs from XLA's by %.3g: %.6g and %.6g, of at most "
        "%.3g.",
        *(kind, implementation, case, difference, ours, xla, largest),
      )
  return agreed
