"""The one door to depthwise convolution: checks, then chooses how."""

import functools

import jax
import jax.numpy as jnp

from van_jax import errors
from van_jax.ops import by_platform, grouped, kernel_sums, shifted_sum
from van_jax.ops.by_platform import IMPLEMENTATIONS, Way
from van_jax.ops.cpu.depthwise import call as loops
from van_jax.ops.gelu import add_bias
from van_jax.ops.gpu import call as gpu_kernels, proven
from van_jax.ops.tpu import call as tpu_kernels
from van_jax.ops.tpu.plan import LANES, SUBLANES


def _then_bias(convolve):
  """Returns convolve(x, kernel, dilation) with a bias of None or [C]."""

  def run(x, kernel, bias, dilation):
    y = convolve(x, kernel, dilation)
    return y if bias is None else add_bias(y, bias)

  return run


def _grouped(x, kernel, dilation):
  convolve = functools.partial(grouped.depthwise_conv, dilation=dilation)
  if jnp.promote_types(x.dtype, kernel.dtype) != kernel.dtype:
    return convolve(x, kernel)
  return kernel_sums.in_kernels_dtype(convolve)(x, kernel)


def _pallas_tpu_for_many(x, kernel, bias, dilation):
  """Leaves to XLA's convolution what a device has too few examples of.

  The kernels pad examples to 8, the sublanes of a register. By the schedule, as
  below: with dilation 3, of 4 examples on, they are the faster ones all the
  same, up to maps so wide that VMEM has a row or two at a time.
  """
  least = SUBLANES
  if dilation > 1:
    least = SUBLANES // 2 if x.shape[2] <= _WIDE_ON_TPU else SUBLANES + 1
  return tpu_kernels.depthwise_conv(x, kernel, bias, dilation, least)


# What "auto" means: the faster one on each platform that has been measured. On
# CPUs, by benchmarks/lka.py on every shape of B0 to B6 (224, batch 8, two
# cores), the loops of numba_cpu beat the shifted sum 1.9 to 13 times backward
# and 1.05 to 4.4 times forward, but for 3x3 on 14x14, where they are equal.
# What Numba does not know is left to the shifted sum, 8 times as fast as XLA's
# there. On TPUs, by benchmarks/tpu_schedule.py, that is by the compiler's
# schedule for v5e, pallas_tpu wins where taps lie apart or channels leave lanes
# of registers empty, of many examples; elsewhere XLA's is near the limit, and
# takes its neighbours along. On NVIDIA's GPUs pallas_gpu takes the shapes that
# `gpu.proven` lists.
_AUTO_ON_CPU = ("numba_cpu", "shifted_sum")
_AUTO_ON_TPU = ("pallas_tpu_for_many", "xla")
_WIDE_ON_TPU = 96
_AUTO_ON_GPU = ("pallas_gpu", "xla")
_AUTO_ELSEWHERE = "xla"

# Each of (x, kernel, bias or None, dilation): of the names that users have, and
# of what "auto" means beside.
BY_NAME = {
  "grouped": _then_bias(_grouped),
  "numba_cpu": loops.depthwise_conv,
  "pallas_gpu": gpu_kernels.depthwise_conv,
  "pallas_tpu": tpu_kernels.depthwise_conv,
  "shifted_sum": _then_bias(shifted_sum.depthwise_conv),
  _AUTO_ON_TPU[0]: _pallas_tpu_for_many,
}
BY_NAME["xla"] = BY_NAME["grouped"]


def list_implementations() -> tuple[str, ...]:
  """Returns the names that `depthwise_conv(implementation=...)` takes."""
  return IMPLEMENTATIONS


def depthwise_conv(
  x: jax.Array,
  kernel: jax.Array,
  *,
  bias: jax.Array | None = None,
  dilation: int = 1,
  implementation: str = "auto",
) -> jax.Array:
  """Convolves each channel with a kernel of its own.

  Stride 1; zeros around the map keep its size, dilation * (k - 1) of them an
  axis, the smaller half before. Products add up in float32 or wider. All
  implementations have gradients; "xla" alone has those of any order and mode,
  as the others bring their own.

  Args:
    x: [B, H, W, C], floating.
    kernel: [kh, kw, 1, C], floating; its gradient has its dtype.
    bias: [C], added to the result; None for none.
    dilation: distance between neighbouring taps, >= 1.
    implementation: one of `list_implementations()`. "auto" takes the fastest
      one for the platform that the program is compiled for.

  Returns:
    [B, H, W, C] of x's dtype.

  Raises:
    UserError: on shapes, dilation or a name that make no such convolution.
  """
  check(x, kernel, bias, dilation)
  arrays = (x, kernel, bias)
  if by_platform.is_plain(implementation, arrays):
    return BY_NAME["xla"](x, kernel, bias, dilation)
  if implementation != "auto":
    run = functools.partial(BY_NAME[implementation], dilation=dilation)
    return by_platform.in_reverse(run, arrays)
  ways = {
    platform: _way(name, dilation)
    for platform, name in meaning("auto", x, kernel, dilation).items()
  }
  return by_platform.compute(arrays, **ways)


@functools.cache
def _way(name: str, dilation: int) -> Way:
  return Way(functools.partial(BY_NAME[name], dilation=dilation))


def meaning(
  implementation: str, x: jax.Array, kernel: jax.Array, dilation: int
) -> dict[str, str]:
  """Returns the implementation by platform, here and now."""
  if implementation != "auto":
    return {"default": implementation}
  return {
    "default": _AUTO_ELSEWHERE,
    "cpu": _on_cpu(x.dtype),
    "cuda": _on_gpu(x, kernel, dilation),
    "tpu": _on_tpu(x.shape, dilation),
  }


def _on_tpu(shape, dilation):
  """Returns what "auto" means on a TPU, for maps of a shape."""
  ours, plain = _AUTO_ON_TPU
  return ours if dilation > 1 or shape[-1] % LANES else plain


def _on_gpu(x, kernel, dilation):
  """Returns what "auto" means on a GPU of NVIDIA's, for such maps."""
  ours, plain = _AUTO_ON_GPU
  return ours if proven.is_faster(x, kernel, dilation) else plain


def _on_cpu(dtype):
  """Returns what "auto" means on a CPU, for maps of a dtype, here and now."""
  fast, plain = _AUTO_ON_CPU
  if not loops.takes(dtype):
    return plain
  # Hosts of TPUs or GPUs need not wait for Numba: they seldom use their CPU.
  if by_platform.platform() != "cpu" or not loops.is_available():
    return plain
  return fast


def check(x, kernel, bias, dilation):
  """Raises UserError unless `depthwise_conv` takes these arguments."""
  if x.ndim != 4 or kernel.ndim != 4:
    raise errors.UserError(
      f"depthwise_conv takes x of [B, H, W, C] and a kernel of "
      f"[kh, kw, 1, C], got {x.shape} and {kernel.shape}; add the missing "
      f"axes."
    )
  if kernel.shape[2:] != (1, x.shape[-1]):
    raise errors.UserError(
      f"kernel.shape={kernel.shape} does not fit x.shape={x.shape}: its last "
      f"axes must be (1, {x.shape[-1]}); one [kh, kw] kernel a channel."
    )
  if bias is not None and bias.shape != x.shape[-1:]:
    raise errors.UserError(
      f"bias.shape={bias.shape} does not fit x.shape={x.shape}: it must be "
      f"{x.shape[-1:]}, a number a channel."
    )
  if dilation < 1:
    raise errors.UserError(
      f"dilation={dilation} must be at least 1; 1 is an ordinary kernel."
    )
  for name, array in (("x", x), ("kernel", kernel)):
    if not jnp.issubdtype(array.dtype, jnp.floating):
      raise errors.UserError(
        f"{name}.dtype={array.dtype} must be floating; cast it first."
      )
