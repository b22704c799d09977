"""Strided convolutions: our CPU loops, XLA's convolution, and the choice."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import ops

# (batch, height, width, C, D, taps high, taps wide, stride, padding); where D
# is no multiple of two vectors, 32 or fewer, XLA's convolution is taken.
SHAPES = [
  (2, 56, 57, 3, 32, 7, 7, 4, 3),  # VAN's own,
  (3, 28, 29, 32, 64, 3, 3, 2, 1),
  (2, 15, 14, 64, 160, 3, 3, 2, 1),
  (9, 7, 7, 160, 256, 3, 3, 2, 1),  # examples in uneven groups,
  (1, 1, 1, 32, 32, 3, 3, 2, 1),  # down to one pixel.
  (2, 9, 11, 48, 96, 2, 4, 2, 0),
  (2, 9, 8, 16, 80, 3, 3, 1, 1),
  (2, 10, 9, 16, 32, 2, 3, 4, 0),  # Pixels that no tap meets,
  (3, 8, 8, 32, 32, 1, 1, 2, 0),
  (2, 5, 6, 16, 32, 1, 2, 3, 3),  # patches of zeros alone,
  (1, 6, 5, 32, 32, 6, 7, 3, 5),
  (2, 6, 4, 16, 32, 5, 4, 1, 2),
  (1, 40, 300, 64, 32, 3, 3, 1, 1),  # bands of rows,
  (2, 47, 45, 288, 32, 3, 3, 1, 1),  # parts of the channels,
  (1, 50, 47, 32, 32, 5, 5, 1, 0),  # a gradient larger than the result.
  (2, 9, 9, 32, 5, 3, 3, 2, 1),
]
# One product and one sum each round by 2**-24 of a value of order 1; sums of
# n <= 2,592 of them err by about sqrt(n) of that, by 1e-5 here. Gradients are
# XLA's too: of sums of 12,000, one after another, it may be 1e-3. What is wrong
# by a position or a tap errs by more than 0.1.
TOLERANCE: Any = {"rtol": 1e-5, "atol": 2e-4}
OF_GRADIENTS: Any = {"rtol": 1e-5, "atol": 5e-3}


def draw(shape) -> Any:
  B, H, W, C, D, kh, kw, stride, padding = shape
  rng = np.random.default_rng(0)
  height, width = (
    (size + 2 * padding - k) // stride + 1 for size, k in ((H, kh), (W, kw))
  )
  sizes = (B, H, W, C), (kh, kw, C, D), (B, height, width, D)
  return [rng.standard_normal(size) for size in sizes]


def reference(arrays, stride, padding):
  """Returns PyTorch's result and its gradients for x and kernel, float64."""
  x, kernel, gradient = (
    torch.from_numpy(np.asarray(a, np.float64).transpose(order).copy())
    for a, order in (
      (arrays[0], (0, 3, 1, 2)),
      (arrays[1], (3, 2, 0, 1)),
      (arrays[2], (0, 3, 1, 2)),
    )
  )
  x.requires_grad_()
  kernel.requires_grad_()
  y = torch.nn.functional.conv2d(x, kernel, stride=stride, padding=padding)
  y.backward(gradient)
  assert x.grad is not None
  assert kernel.grad is not None
  return (
    y.detach().numpy().transpose(0, 2, 3, 1),
    x.grad.numpy().transpose(0, 2, 3, 1),
    kernel.grad.numpy().transpose(2, 3, 1, 0),
  )


def _conv_and_gradients(x, kernel, gradient, *, stride, padding):
  conv = functools.partial(ops.strided_conv, stride=stride, padding=padding)
  y, vjp = jax.vjp(conv, x, kernel)
  return y, *vjp(gradient)


conv_and_gradients: Any = jax.jit(
  _conv_and_gradients, static_argnames=("stride", "padding")
)


def as_jax(arrays, dtype: Any = jnp.float32) -> Any:
  return [jnp.asarray(a, dtype) for a in arrays]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_result_and_gradients_are_pytorchs(shape):
  arrays, (stride, padding) = draw(shape), shape[-2:]
  y, *ours = conv_and_gradients(*as_jax(arrays), stride=stride, padding=padding)
  expected_y, *expected = reference(arrays, stride, padding)
  np.testing.assert_allclose(y, expected_y, **TOLERANCE)
  for a, b in zip(ours, expected, strict=True):
    np.testing.assert_allclose(a, b, **OF_GRADIENTS)


@pytest.mark.parametrize(("channels", "calls"), [(32, 1), (5, 0)])
def test_the_cpu_gets_our_loops_and_tpus_what_xla_has(channels, calls):
  arrays = as_jax(draw((1, 8, 8, 3, channels, 7, 7, 4, 3)))
  program = conv_and_gradients.trace(*arrays, stride=4, padding=3)
  on_cpu, on_tpu = (
    program.lower(lowering_platforms=(platform,)).as_text()
    for platform in ("cpu", "tpu")
  )
  assert on_cpu.count("@van_jax_strided") == calls
  assert on_cpu.count("stablehlo.convolution") == 3 - calls
  assert on_tpu.count("stablehlo.convolution") == 3
  assert "custom_call" not in on_tpu


def test_a_large_maps_convolution_is_ours_in_both_directions_on_the_cpu():
  shape = (1, 48, 48, 32, 64, 3, 3, 1, 1)
  program = conv_and_gradients.trace(*as_jax(draw(shape)), stride=1, padding=1)
  text = program.lower(lowering_platforms=("cpu",)).as_text()
  assert text.count("@van_jax_strided") == 2  # The result, the map's gradient.
  assert "stablehlo.convolution" not in text


def test_xla_is_xlas_convolution_on_the_cpu_too():
  x, kernel, _ = as_jax(draw((1, 8, 8, 3, 32, 7, 7, 4, 3)))
  run = functools.partial(ops.strided_conv, implementation="xla")
  assert "custom_call" not in jax.jit(run).lower(x, kernel).as_text()


def test_the_first_layers_input_gradient_is_not_computed():
  x, kernel, _ = as_jax(draw((1, 8, 8, 16, 32, 3, 3, 2, 1)))

  def loss(kernel):
    y = ops.strided_conv(x, kernel, stride=2, padding=1)
    return jnp.sum(jnp.sin(y))

  text = str(jax.jit(jax.grad(loss)).lower(kernel).compile().as_text())
  assert text.count('custom_call_target="van_jax_strided"') == 1
  assert text.count(" convolution(") == 1  # The kernel's gradient.


def test_double_precision_stays_double():
  shape = (2, 9, 8, 16, 16, 3, 3, 2, 1)
  arrays = draw(shape)
  with jax.enable_x64(True):
    ours = conv_and_gradients(*as_jax(arrays, jnp.float64), stride=2, padding=1)
  for a, b in zip(ours, reference(arrays, 2, 1), strict=True):
    # Sums of at most 144 products of order 1 in float64.
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_bfloat16_sums_in_float32():
  arrays = as_jax(draw((4, 16, 15, 32, 32, 3, 3, 2, 1)), jnp.bfloat16)
  ours = conv_and_gradients(*arrays, stride=2, padding=1)
  for a, b in zip(ours, reference(arrays, 2, 1), strict=True):
    assert a.dtype == jnp.bfloat16
    # Only the final rounding to 8 bits: 2**-9 of the value, and slack for
    # float32 where terms cancel. Sums in bfloat16 are ten times worse.
    np.testing.assert_allclose(
      np.asarray(a, np.float64), b, rtol=2**-8, atol=1e-3
    )


def test_vmap_equals_a_loop():
  x, kernel, gradient = as_jax(draw((6, 9, 8, 16, 32, 3, 3, 2, 1)))
  x, gradient = (a.reshape(2, 3, *a.shape[1:]) for a in (x, gradient))
  kernels = jnp.stack([kernel, -2 * kernel])
  run = functools.partial(conv_and_gradients, stride=2, padding=1)
  mapped = jax.vmap(run)(x, kernels, gradient)
  for n in range(2):
    single = run(x[n], kernels[n], gradient[n])
    for a, b in zip(mapped, single, strict=True):
      # XLA's gradients of a batch of kernels add up in another order.
      np.testing.assert_allclose(a[n], b, **TOLERANCE)


def test_remat_keeps_gradients():
  x, kernel, _ = as_jax(draw((2, 9, 8, 16, 32, 3, 3, 2, 1)))

  def loss(x, kernel):
    return jnp.sum(jnp.sin(ops.strided_conv(x, kernel, stride=2, padding=1)))

  plain = jax.grad(loss, (0, 1))(x, kernel)
  again = jax.grad(jax.checkpoint(loss), (0, 1))(x, kernel)
  for a, b in zip(plain, again, strict=True):
    # Compiled in other pieces: rounding of sums of 300 terms of order 1.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def sharded(shape):
  mesh = Mesh(np.array(jax.devices()), ("batch",))
  split, whole = (
    NamedSharding(mesh, PartitionSpec(*spec)) for spec in (("batch",), ())
  )
  arrays = as_jax(draw(shape))
  return arrays, [
    jax.device_put(a, s)
    for a, s in zip(arrays, (split, whole, split), strict=True)
  ]


@pytest.mark.parametrize(
  "shape", [(16, 9, 8, 16, 32, 3, 3, 2, 1), (8, 48, 48, 32, 32, 3, 3, 1, 1)]
)
def test_batch_over_eight_devices_equals_one(shape):
  one, eight = sharded(shape)
  run = functools.partial(conv_and_gradients, stride=shape[-2], padding=1)
  for a, b in zip(run(*eight), run(*one), strict=True):
    # Eight sums of 40 or 2,304 products of order 1 are added up, in another
    # order: sums of 135 at most, in float32.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-3)


def test_devices_exchange_nothing_forward():
  _, eight = sharded((16, 9, 8, 16, 32, 3, 3, 2, 1))
  run = functools.partial(ops.strided_conv, stride=2, padding=1)
  text = str(jax.jit(run).lower(*eight[:2]).compile().as_text())
  assert "van_jax_strided" in text
  for collective in ("all-", "collective-permute"):
    assert collective not in text


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"x": jnp.ones((4, 4, 2))}, r"\(4, 4, 2\)"),
    ({"kernel": jnp.ones((3, 3, 3, 2))}, "two C must be the same"),
    ({"kernel": jnp.ones((3, 3, 2, 2), jnp.bfloat16)}, "dtype=bfloat16"),
    ({"x": jnp.ones((1, 4, 4, 2), jnp.uint8)}, "x.dtype=uint8"),
    ({"implementation": "fft"}, "'fft'.*auto, grouped, numba_cpu"),
    ({"stride": 0}, "stride=0 must be at least 1"),
    ({"padding": -1}, "padding=-1"),
    ({"kernel": jnp.ones((5, 3, 2, 2))}, "larger than x.shape"),
  ],
)
def test_bad_arguments_are_named(change, message):
  arguments = {
    "x": jnp.ones((1, 4, 4, 2)),
    "kernel": jnp.ones((3, 3, 2, 2)),
    "stride": 2,
    "padding": 0,
  } | change
  with pytest.raises(ValueError, match=message):
    ops.strided_conv(**arguments)
