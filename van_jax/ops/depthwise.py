"""The one door to depthwise convolution: checks, then chooses how."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from van_jax.ops import shifted_sum, xla
from van_jax.ops.bias import add_bias
from van_jax.ops.cpu.depthwise import call as numba_cpu
from van_jax.ops.tpu import call as pallas_tpu
from van_jax.ops.tpu.plan import LANES


def _then_bias(convolve):
  """Returns convolve(x, kernel, dilation) with a bias of None or [C]."""

  def run(x, kernel, bias, dilation):
    y = convolve(x, kernel, dilation)
    return y if bias is None else add_bias(y, bias)

  return run


_IMPLEMENTATIONS = {
  "numba_cpu": numba_cpu.depthwise_conv,
  "pallas_tpu": pallas_tpu.depthwise_conv,
  "shifted_sum": _then_bias(shifted_sum.depthwise_conv),
  "xla": _then_bias(xla.depthwise_conv),
}

# What "auto" means: the faster one on each platform that has been measured. On
# CPUs, by benchmarks/lka.py on every shape of B0 to B6 (224, batch 8, two
# cores), the loops of numba_cpu beat the shifted sum 1.9 to 13 times backward
# and 1.05 to 4.4 times forward, but for 3x3 on 14x14, where they are equal.
# What Numba does not know is left to the shifted sum, 8 times as fast as XLA's
# there. On TPUs, by benchmarks/tpu_schedule.py,
# that is by the compiler's schedule for v5e, pallas_tpu wins where taps lie
# apart or channels leave lanes of registers empty: elsewhere XLA's is near the
# limit, and takes its neighbours along. Fewer than 8 examples, a register's
# sublanes, pallas_tpu would pad at a loss.
_AUTO_ON_CPU = ("numba_cpu", "shifted_sum")
_AUTO_ON_TPU = ("pallas_tpu", "xla")
_LEAST_EXAMPLES_ON_TPU = 8
_AUTO_ELSEWHERE = "xla"


def list_implementations() -> tuple[str, ...]:
  """Returns the names that `depthwise_conv(implementation=...)` takes."""
  return ("auto", *sorted(_IMPLEMENTATIONS))


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
  implementations have gradients; forward mode (jax.jvp) has "xla" alone, as
  the others bring gradients of their own.

  Args:
    x: [B, H, W, C], floating.
    kernel: [kh, kw, 1, C], floating.
    bias: [C], added to the result; None for none.
    dilation: distance between neighbouring taps, >= 1.
    implementation: one of `list_implementations()`. "auto" takes the fastest
      one for the platform that the program is compiled for.

  Returns:
    [B, H, W, C] of x's dtype.

  Raises:
    ValueError: on shapes, dilation or a name that make no such convolution.
  """
  check(x, kernel, bias, dilation, implementation)
  if implementation == "auto":
    return _auto(x, kernel, bias, dilation)
  return _IMPLEMENTATIONS[implementation](x, kernel, bias, dilation)


# The platform is known when the program is lowered, not when it is traced (a
# CPU host compiles for TPUs). Differentiating `platform_dependent` would keep
# residuals of every branch, so each direction makes its own choice.
@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _auto(x, kernel, bias, dilation):
  return _by_platform(
    lambda conv: functools.partial(conv, dilation=dilation),
    dilation,
    x,
    kernel,
    bias,
  )


def _auto_forward(x, kernel, bias, dilation):
  return _auto(x, kernel, bias, dilation), (x, kernel, bias)


def _auto_backward(dilation, residuals, gradient):
  def backward(conv):
    def run(*arguments):
      *arrays, gradient = arguments
      _, vjp = jax.vjp(lambda *arrays: conv(*arrays, dilation), *arrays)
      return vjp(gradient)

    return run

  return _by_platform(backward, dilation, *residuals, gradient)


_auto.defvjp(_auto_forward, _auto_backward)


def _by_platform(make, dilation, x, *others):
  """Runs make(implementation)(x, ...) for the implementation "auto" means."""
  return lax.platform_dependent(
    x,
    *others,
    default=make(_IMPLEMENTATIONS[_AUTO_ELSEWHERE]),
    cpu=make(_IMPLEMENTATIONS[on_cpu(x.dtype)]),
    tpu=make(_IMPLEMENTATIONS[_on_tpu(x.shape, dilation)]),
  )


def _on_tpu(shape, dilation):
  """Returns what "auto" means on a TPU, for maps of a shape."""
  ours, plain = _AUTO_ON_TPU
  examples, _, _, channels = shape
  if examples < _LEAST_EXAMPLES_ON_TPU:
    return plain
  return ours if dilation > 1 or channels % LANES else plain


def on_cpu(dtype):
  """Returns what "auto" means on a CPU, for maps of a dtype, here and now."""
  fast, plain = _AUTO_ON_CPU
  if not numba_cpu.takes(dtype):
    return plain
  # Hosts of TPUs or GPUs need not wait for Numba: they seldom use their CPU.
  if jax.default_backend() != "cpu" or not numba_cpu.is_available():
    return plain
  return fast


def check(x, kernel, bias, dilation, implementation):
  """Raises ValueError unless `depthwise_conv` takes these arguments."""
  if implementation not in list_implementations():
    raise ValueError(
      f"implementation={implementation!r} is not a depthwise convolution; "
      f"choose one of {', '.join(list_implementations())}."
    )
  if x.ndim != 4 or kernel.ndim != 4:
    raise ValueError(
      f"depthwise_conv takes x of [B, H, W, C] and a kernel of "
      f"[kh, kw, 1, C], got {x.shape} and {kernel.shape}; add the missing "
      f"axes."
    )
  if kernel.shape[2:] != (1, x.shape[-1]):
    raise ValueError(
      f"kernel.shape={kernel.shape} does not fit x.shape={x.shape}: its last "
      f"axes must be (1, {x.shape[-1]}); one [kh, kw] kernel a channel."
    )
  if bias is not None and bias.shape != x.shape[-1:]:
    raise ValueError(
      f"bias.shape={bias.shape} does not fit x.shape={x.shape}: it must be "
      f"{x.shape[-1:]}, a number a channel."
    )
  if dilation < 1:
    raise ValueError(
      f"dilation={dilation} must be at least 1; 1 is an ordinary kernel."
    )
  for name, array in (("x", x), ("kernel", kernel)):
    if not jnp.issubdtype(array.dtype, jnp.floating):
      raise ValueError(
        f"{name}.dtype={array.dtype} must be floating; cast it first."
      )
