"""The depthwise convolution against explicit loops in float64."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import ops
from van_jax.ops import shifted_sum

IMPLEMENTATIONS = ops.list_implementations()
# Programs of pallas_gpu take the interpreter's compiler seconds each: what is
# tested of them is in tests/ops/gpu.
COMPILED = tuple(name for name in IMPLEMENTATIONS if name != "pallas_gpu")
# (height, width, taps high, taps wide, dilation)
GEOMETRIES = [
  (9, 9, 5, 5, 1),  # VAN's three kernels...
  (20, 22, 7, 7, 3),
  (8, 8, 3, 3, 1),
  (7, 7, 7, 7, 3),  # ... on a map that outer taps never meet,
  (2, 2, 7, 7, 3),  # or only the middle one does,
  (1, 1, 5, 5, 1),  # down to one pixel.
  (6, 7, 4, 4, 2),  # Even kernels,
  (5, 9, 2, 6, 1),
  (1, 1, 4, 4, 2),  # which may miss a small map altogether.
  (3, 8, 1, 7, 2),
  (5, 3, 3, 2, 4),
  (20, 6, 7, 1, 3),  # A column of LSKA's,
  (6, 24, 1, 21, 1),  # and a row of MSCA's.
]


def reference(x, kernel, gradient, dilation):
  """Returns result, x's and kernel's gradient, all [float64], by loops."""
  _, H, W, _ = x.shape
  kh, kw = kernel.shape[:2]
  above, left = dilation * (kh - 1) // 2, dilation * (kw - 1) // 2
  y, dx, dk = np.zeros_like(x), np.zeros_like(x), np.zeros_like(kernel)
  for i, j, p, q in np.ndindex(H, W, kh, kw):
    r, c = i + p * dilation - above, j + q * dilation - left
    if 0 <= r < H and 0 <= c < W:
      y[:, i, j] += x[:, r, c] * kernel[p, q, 0]
      dx[:, r, c] += gradient[:, i, j] * kernel[p, q, 0]
      dk[p, q, 0] += np.sum(x[:, r, c] * gradient[:, i, j], 0)
  return y, dx, dk


def draw(geometry, batch=3, channels=5):
  H, W, kh, kw, _ = geometry
  rng = np.random.default_rng(0)
  return (
    rng.standard_normal((batch, H, W, channels)),
    rng.standard_normal((kh, kw, 1, channels)),
    rng.standard_normal((batch, H, W, channels)),
  )


def conv_and_gradients(x, kernel, gradient, *, dilation, implementation):
  conv = functools.partial(
    ops.depthwise_conv, dilation=dilation, implementation=implementation
  )
  y, vjp = jax.vjp(conv, x, kernel)
  return y, *vjp(gradient)


@pytest.mark.parametrize("implementation", COMPILED)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_result_and_gradients_equal_loops(geometry, implementation):
  arrays = draw(geometry)
  ours = jax.jit(
    conv_and_gradients, static_argnames=("dilation", "implementation")
  )(
    *(jnp.asarray(a, jnp.float32) for a in arrays),
    dilation=geometry[-1],
    implementation=implementation,
  )
  for a, b in zip(ours, reference(*arrays, geometry[-1]), strict=True):
    # A sum of n <= 3 * 20 * 22 products of order 1 in float32: errors of
    # about sqrt(n) * 6e-8 * |sum| stay under 1e-4.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_double_precision_stays_double(implementation):
  arrays = draw((9, 7, 5, 5, 2))
  with jax.enable_x64(True):
    ours = conv_and_gradients(
      *map(jnp.asarray, arrays), dilation=2, implementation=implementation
    )
  for a, b in zip(ours, reference(*arrays, 2), strict=True):
    # Sums of at most 216 products of order 1 in float64.
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_tall_map_goes_through_several_bands(monkeypatch):
  monkeypatch.setattr(shifted_sum, "_CACHED", 2000)  # One or two rows a band.
  geometry = (12, 6, 3, 3, 2)
  arrays = draw(geometry)
  ours = conv_and_gradients(
    *(jnp.asarray(a, jnp.float32) for a in arrays),
    dilation=2,
    implementation="shifted_sum",
  )
  assert shifted_sum._band(12, 3 * 6 * 5 * 9) < 12
  for a, b in zip(ours, reference(*arrays, 2), strict=True):
    # Float32 sums of at most 216 products of order 1.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("implementation", COMPILED)
def test_bfloat16_sums_in_float32(implementation):
  geometry = (16, 16, 7, 7, 1)
  x, kernel, gradient = (
    jnp.asarray(a, jnp.bfloat16) for a in draw(geometry, batch=8)
  )
  ours = conv_and_gradients(
    x, kernel, gradient, dilation=1, implementation=implementation
  )
  exact = reference(
    np.asarray(x, np.float64),
    np.asarray(kernel, np.float64),
    np.asarray(gradient, np.float64),
    1,
  )
  for a, b in zip(ours, exact, strict=True):
    assert a.dtype == jnp.bfloat16
    # Only the final rounding to 8 bits: 2**-9 of the value, and slack for
    # float32 where terms cancel. Sums in bfloat16 are ten times worse.
    np.testing.assert_allclose(
      np.asarray(a, np.float64), b, rtol=2**-8, atol=1e-3
    )


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_vmap_equals_a_loop(implementation):
  x, kernel, gradient = (
    jnp.asarray(a, jnp.float32).reshape(2, 3, *a.shape[1:])
    if a.shape[0] == 6
    else jnp.asarray(a, jnp.float32)
    for a in draw((6, 5, 3, 3, 2), batch=6)
  )
  kernels = jnp.stack([kernel, -2 * kernel])
  run: Any = functools.partial(
    conv_and_gradients, dilation=2, implementation=implementation
  )
  mapped = jax.vmap(run)(x, kernels, gradient)
  for n in range(2):
    single = run(x[n], kernels[n], gradient[n])
    for a, b in zip(mapped, single, strict=True):
      # The same sums in another order.
      np.testing.assert_allclose(a[n], b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", COMPILED)
def test_remat_keeps_gradients(implementation):
  x, kernel, _ = (jnp.asarray(a, jnp.float32) for a in draw((6, 5, 3, 3, 2)))

  def loss(x, kernel):
    y = ops.depthwise_conv(x, kernel, dilation=2, implementation=implementation)
    return jnp.sum(jnp.sin(y))

  plain = jax.grad(loss, (0, 1))(x, kernel)
  again = jax.grad(jax.checkpoint(loss), (0, 1))(x, kernel)
  for a, b in zip(plain, again, strict=True):
    # Compiled in other pieces: rounding of sums of 30 terms of order 1.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", COMPILED)
def test_batch_over_eight_devices_equals_one(implementation):
  arrays = [
    jnp.asarray(a, jnp.float32) for a in draw((6, 5, 3, 3, 2), batch=16)
  ]
  mesh = Mesh(np.array(jax.devices()), ("batch",))
  split, whole = (
    NamedSharding(mesh, PartitionSpec(*spec)) for spec in (("batch",), ())
  )
  run = functools.partial(
    jax.jit(conv_and_gradients, static_argnames=("dilation", "implementation")),
    dilation=2,
    implementation=implementation,
  )
  sharded = run(
    *(
      jax.device_put(a, s)
      for a, s in zip(arrays, (split, whole, split), strict=True)
    )
  )
  for a, b in zip(sharded, run(*arrays), strict=True):
    # Eight sums of 60 products of order 1 are added up, in another order.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_kernel_gradient_leaves_a_sharded_batch_in_place():
  mesh = Mesh(np.array(jax.devices()), ("batch",))
  split, whole = (
    NamedSharding(mesh, PartitionSpec(*spec)) for spec in (("batch",), ())
  )
  x = jax.ShapeDtypeStruct((16, 6, 5, 3), jnp.float32, sharding=split)
  kernel = jax.ShapeDtypeStruct((3, 3, 1, 3), jnp.float32, sharding=whole)
  run = jax.jit(
    conv_and_gradients, static_argnames=("dilation", "implementation")
  )
  program = run.lower(
    x, kernel, x, dilation=2, implementation="shifted_sum"
  ).compile()
  text = str(program.as_text())
  assert "all-reduce" in text  # Of the kernel's gradient...
  assert "all-gather" not in text  # ... and no device sees the whole batch.


def test_auto_is_the_shifted_sum_on_the_cpu():
  x, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 1, 2))
  program = jax.jit(ops.depthwise_conv).lower(x, kernel)
  assert "convolution" not in program.as_text()


def test_taps_outside_the_map_cost_nothing():
  x = jax.ShapeDtypeStruct((2, 2, 2, 3), jnp.float32)
  kernel = jax.ShapeDtypeStruct((7, 7, 1, 3), jnp.float32)
  run = functools.partial(
    ops.depthwise_conv, dilation=3, implementation="shifted_sum"
  )
  program = str(jax.make_jaxpr(run)(x, kernel))
  assert program.count(" mul ") == 1  # The middle tap of 49.


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (
      {"implementation": "fft"},
      "'fft'.*auto, grouped, numba_cpu, pallas_gpu, pallas_tpu, shifted_sum",
    ),
    ({"dilation": 0}, "dilation=0 must be at least 1"),
    ({"x": jnp.ones((4, 4, 2))}, r"\(4, 4, 2\)"),
    ({"kernel": jnp.ones((3, 3, 2, 2))}, r"last axes must be \(1, 2\)"),
    ({"x": jnp.ones((1, 4, 4, 2), jnp.uint8)}, "x.dtype=uint8"),
  ],
)
def test_bad_arguments_are_named(change, message):
  arguments = {
    "x": jnp.ones((1, 4, 4, 2)),
    "kernel": jnp.ones((3, 3, 1, 2)),
  } | change
  x, kernel = arguments.pop("x"), arguments.pop("kernel")
  with pytest.raises(ValueError, match=message):
    ops.depthwise_conv(x, kernel, **arguments)


def test_xla_has_forward_mode():
  arrays = draw((6, 7, 3, 3, 2))
  x, kernel, tangent = (jnp.asarray(a, jnp.float32) for a in arrays)
  moved, bias = kernel[::-1], jnp.arange(5.0)

  def conv(x, kernel, bias):
    return ops.depthwise_conv(
      x, kernel, bias=bias, dilation=2, implementation="xla"
    )

  _, forward = jax.jvp(conv, (x, kernel, bias), (tangent, moved, bias))
  # The convolution is linear in each argument.
  zero = jnp.zeros(5)
  expected = conv(tangent, kernel, zero) + conv(x, moved, bias)
  # Sums of 19 numbers of order 1 in float32, in another order.
  np.testing.assert_allclose(forward, expected, rtol=1e-5, atol=1e-5)
