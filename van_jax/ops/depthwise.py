"""The one door to depthwise convolution: checks, then chooses how."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from van_jax.ops import pallas_tpu, shifted_sum, xla

_IMPLEMENTATIONS = {
  "pallas_tpu": pallas_tpu.depthwise_conv,
  "shifted_sum": shifted_sum.depthwise_conv,
  "xla": xla.depthwise_conv,
}

# What "auto" means: the faster one on each platform that has been measured. On
# two CPU cores VAN-B0's inference (224, batch 8) by the shifted sum is 8.8
# times as fast as by XLA. On TPU v5e the shifted sum costs a B0 training step
# twice the cycles of XLA's, by the compiler's own estimate.
_AUTO_BY_PLATFORM = {"cpu": "shifted_sum"}
_AUTO_ELSEWHERE = "xla"


def list_implementations() -> tuple[str, ...]:
  """Returns the names that `depthwise_conv(implementation=...)` takes."""
  return ("auto", *sorted(_IMPLEMENTATIONS))


def depthwise_conv(
  x: jax.Array,
  kernel: jax.Array,
  *,
  dilation: int = 1,
  implementation: str = "auto",
) -> jax.Array:
  """Convolves each channel with a kernel of its own.

  Stride 1; zeros around the map keep its size, dilation * (k - 1) of them an
  axis, the smaller half before. Products add up in float32 or wider.

  Args:
    x: [B, H, W, C], floating.
    kernel: [kh, kw, 1, C], floating.
    dilation: distance between neighbouring taps, >= 1.
    implementation: one of `list_implementations()`. "auto" takes the fastest
      one for the platform that the program is compiled for.

  Returns:
    [B, H, W, C] of x's dtype.

  Raises:
    ValueError: on shapes, dilation or a name that make no such convolution.
  """
  _check(x, kernel, dilation, implementation)
  if implementation == "auto":
    return _auto(x, kernel, dilation)
  return _IMPLEMENTATIONS[implementation](x, kernel, dilation)


# The platform is known when the program is lowered, not when it is traced (a
# CPU host compiles for TPUs). Differentiating `platform_dependent` would keep
# residuals of every branch, so each direction makes its own choice.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _auto(x, kernel, dilation):
  return _by_platform(
    lambda conv: functools.partial(conv, dilation=dilation), x, kernel
  )


def _auto_forward(x, kernel, dilation):
  return _auto(x, kernel, dilation), (x, kernel)


def _auto_backward(dilation, residuals, gradient):
  def backward(conv):
    def run(x, kernel, gradient):
      _, vjp = jax.vjp(lambda x, k: conv(x, k, dilation), x, kernel)
      return vjp(gradient)

    return run

  return _by_platform(backward, *residuals, gradient)


_auto.defvjp(_auto_forward, _auto_backward)


def _by_platform(make, *args):
  """Runs make(implementation)(*args) for the implementation "auto" means."""
  return lax.platform_dependent(
    *args,
    default=make(_IMPLEMENTATIONS[_AUTO_ELSEWHERE]),
    **{
      platform: make(_IMPLEMENTATIONS[name])
      for platform, name in _AUTO_BY_PLATFORM.items()
    },
  )


def _check(x, kernel, dilation, implementation):
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
  if dilation < 1:
    raise ValueError(
      f"dilation={dilation} must be at least 1; 1 is an ordinary kernel."
    )
  for name, array in (("x", x), ("kernel", kernel)):
    if not jnp.issubdtype(array.dtype, jnp.floating):
      raise ValueError(
        f"{name}.dtype={array.dtype} must be floating; cast it first."
      )
