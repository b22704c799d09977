"""The operations that the GPU kernels compute, each device its own examples."""

import jax.numpy as jnp

from van_jax.ops.gpu import by_xla, correlate, plan as plans
from van_jax.ops.gpu.by_xla import wide
from van_jax.ops.gpu.kernel_gradient import kernel_sums
from van_jax.ops.gpu.plan import Taps
from van_jax.ops.placement import per_device

_DTYPES = tuple(map(jnp.dtype, ("float32", "bfloat16", "float16")))


def takes(x, size: tuple[int, int]) -> bool:
  """Returns whether there are kernels for such maps and taps."""
  return x.dtype in _DTYPES and x.size > 0 and plans.fits(size)


def _plan(x, size, dilation, *, backwards=False, **needs):
  """Returns (the cut, the taps that may meet the map, as slices)."""

  def axis(count, length):
    taps = Taps.of(count, dilation)
    taps, first = (taps.negated() if backwards else taps).live(length)
    return taps, slice(first, first + taps.count)

  rows, live_rows = axis(size[0], x.shape[1])
  columns, live_columns = axis(size[1], x.shape[2])
  plan = plans.make(x.shape, rows, columns, x.dtype.itemsize, **needs)
  return plan, (live_rows, live_columns)


def _correlated(x, kernel, dilation, size, interpret, backwards=False, **more):
  """Returns what `correlate` does."""
  kernel = kernel[:, :, 0]
  if backwards:
    # What a tap brought from o positions ahead goes back by o. Negated offsets
    # hold for even kernels too, where a flipped kernel would shift the map.
    kernel = kernel[::-1, ::-1]
  maps = 2 if "factor" in more else 1
  plan, live = _plan(x, size, dilation, backwards=backwards, maps=maps)
  taps = kernel[live].reshape(-1, x.shape[-1]).astype(jnp.float32)
  return correlate.correlate(plan, x, taps, interpret=interpret, **more)


def _summed(x, gradient, dilation, size, interpret, **more):
  """Returns kernel's and bias's gradient, [kh * kw + 1, C].

  In one array, so that devices add them up at once.
  """
  plan, live = _plan(x, size, dilation, summed=True)
  sums = kernel_sums(plan, x, gradient, interpret=interpret, **more)
  C = x.shape[-1]
  taps = jnp.zeros((*size, C), jnp.float32)
  found = sums[:-1].reshape(plan.rows.count, plan.columns.count, C)
  taps = taps.at[live].set(found)
  return [jnp.concatenate([taps.reshape(-1, C), sums[-1:]])]


def _convolve(x, kernel, bias, **how):
  return _correlated(x, kernel, bias=wide(bias), **how)


def _convolve_gelu(x, kernel, bias, input_bias, then=correlate.GELU, **how):
  biases = {"bias": wide(bias), "input_bias": wide(input_bias)}
  return _correlated(x, kernel, then=then, **biases, **how)


def _convolve_gelu_and_slope(*arrays, **how):
  return _convolve_gelu(*arrays, then=correlate.WITH_SLOPE, **how)


def _input_gradient(gradient, kernel, **how):
  return _correlated(gradient, kernel, backwards=True, **how)


def _gelu_input_gradient(gradient, slope, kernel, **how):
  more = {"factor": slope, "total": True}
  return _correlated(gradient, kernel, backwards=True, **more, **how)


def _gelu_parameter_gradients(x, gradient, slope, input_bias, **how):
  more = {"factor": slope, "input_bias": wide(input_bias)}
  return _summed(x, gradient, **more, **how)


def _operation(by_kernels, by_xla, arrays: str, results: str):
  """Returns operation(*arrays, dilation, size) -> results, a list.

  Args:
    by_kernels: the same, with `interpret`.
    by_xla: the same, for what the kernels do not take.
    arrays: for each a letter: "b" where its leading axis is the batch.
    results: likewise, or "+" where devices' results are added up.
  """

  def run(*arrays, dilation, size, interpret):
    how = {"dilation": dilation, "size": size}
    if not takes(arrays[0], size):
      return by_xla(*arrays, **how)
    return by_kernels(*arrays, interpret=interpret, **how)

  return per_device(
    f"depthwise_{by_xla.__name__}_of_gpus",
    run,
    by_xla,
    platform="cuda",
    split=[letter == "b" for letter in arrays],
    summed=[letter == "+" for letter in results],
  )


convolve = _operation(_convolve, by_xla.convolve, "b--", "b")
convolve_gelu = _operation(_convolve_gelu, by_xla.convolve_gelu, "b---", "b")
convolve_gelu_and_slope = _operation(
  _convolve_gelu_and_slope, by_xla.convolve_gelu_and_slope, "b---", "bb"
)
input_gradient = _operation(_input_gradient, by_xla.input_gradient, "b-", "b")
gelu_input_gradient = _operation(
  _gelu_input_gradient, by_xla.gelu_input_gradient, "bb-", "b+"
)
parameter_gradients = _operation(_summed, by_xla.parameter_gradients, "bb", "+")
gelu_parameter_gradients = _operation(
  _gelu_parameter_gradients, by_xla.gelu_parameter_gradients, "bbb-", "+"
)
