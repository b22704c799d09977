"""The loops that Numba compiles, called by XLA, against float64 sums."""

import concurrent.futures
import functools
import math
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import ops
from van_jax.ops import shifted_sum
from van_jax.ops.cpu.depthwise import call

# (batch, height, width, channels, taps high, taps wide, dilation)
SHAPES = [
  (8, 56, 56, 32, 5, 5, 1),  # VAN's own: B0's first stage,
  (2, 56, 56, 64, 7, 7, 3),
  (2, 28, 28, 100, 3, 3, 1),
  (9, 14, 14, 160, 7, 7, 3),  # more examples than parts of a sum,
  (3, 7, 7, 512, 7, 7, 3),
  (1, 1, 1, 1, 3, 3, 1),
  (1, 1, 1, 17, 4, 4, 2),  # no tap meets the map,
  (2, 2, 2, 33, 3, 2, 3),  # the last one falls short of its position,
  (2, 5, 31, 47, 2, 9, 4),  # an even kernel, and one of 7 + 1 + 1 columns,
  (3, 13, 15, 5, 11, 6, 1),
  (1, 96, 400, 7, 7, 7, 3),  # bands of rows, as the cache does not hold it.
  (2, 3, 57, 200, 1, 4, 2),
  (2, 128, 128, 256, 1, 2, 1),  # a map that goes past the cache.
]
# A sum of n products of float32, each rounded once or twice: |error| <= n u
# sum |products| at worst, u = 2**-24; about sqrt(n) u in practice. Eight times
# that leaves room for the largest of a million sums.
UNIT = 2.0**-24


def draw(shape, dtype: Any = jnp.float32) -> Any:
  """Returns x, kernel, bias and the result's gradient, of a dtype."""
  B, H, W, C, kh, kw, _ = shape
  rng = np.random.default_rng(0)
  sizes = (B, H, W, C), (kh, kw, 1, C), (C,), (B, H, W, C)
  return tuple(jnp.asarray(rng.standard_normal(s), dtype) for s in sizes)


def reference(arrays, dilation):
  """Returns (value, sum of magnitudes) of the result and three gradients."""
  x, kernel, bias, gradient = (np.asarray(a, np.float64) for a in arrays)
  _, H, W, _ = x.shape
  kh, kw = kernel.shape[:2]
  found = []
  for f in (lambda a: a, np.abs):
    x_, k_, g_ = f(x), f(kernel), f(gradient)
    y, dx, dk = f(bias) + np.zeros_like(x), np.zeros_like(x), np.zeros_like(k_)
    for p, o in enumerate(shifted_sum.offsets(kh, dilation)):
      for q, u in enumerate(shifted_sum.offsets(kw, dilation)):
        if abs(o) >= H or abs(u) >= W:
          continue
        to = np.s_[:, max(0, -o) : H - max(0, o), max(0, -u) : W - max(0, u)]
        at = np.s_[:, max(0, o) : H + min(0, o), max(0, u) : W + min(0, u)]
        y[to] += x_[at] * k_[p, q, 0]
        dx[at] += g_[to] * k_[p, q, 0]
        dk[p, q, 0] = np.sum(x_[at] * g_[to], (0, 1, 2))
    found.append((y, dx, dk, np.sum(g_, (0, 1, 2))))
  return list(zip(*found, strict=True))


def result_and_gradients(x, kernel, bias, gradient, *, dilation):
  def convolve(*arrays):
    x, kernel, bias = arrays
    return ops.depthwise_conv(
      x, kernel, bias=bias, dilation=dilation, implementation="numba_cpu"
    )

  y, vjp = jax.vjp(convolve, x, kernel, bias)
  return y, *vjp(gradient)


run: Any = jax.jit(result_and_gradients, static_argnames=("dilation",))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_result_and_gradients_are_sums_in_float32(shape, dtype):
  arrays = draw(shape, dtype)
  B, H, W, _, kh, kw, dilation = shape
  terms = (kh * kw + 1, kh * kw + 1, B * H * W, B * H * W)
  ours = run(*arrays, dilation=dilation)
  exact = reference(arrays, dilation)
  for got, (value, magnitude), n in zip(ours, exact, terms, strict=True):
    assert got.dtype == dtype
    bound = 8 * np.sqrt(n) * UNIT * magnitude
    if dtype == jnp.bfloat16:
      bound = bound + 2.0**-8 * (np.abs(value) + bound)  # Rounded at the end.
    error = np.abs(np.asarray(got, np.float64) - value)
    assert np.all(error <= bound), np.max(error / np.maximum(bound, 1e-30))


def gelu_and_gradients(x, kernel, bias, gradient, *, implementation) -> Any:
  def convolve(*arrays):
    x, kernel, bias, input_bias = arrays
    return ops.depthwise_conv_gelu(
      x,
      kernel,
      bias=bias,
      input_bias=input_bias,
      dilation=2,
      implementation=implementation,
    )

  arrays = x, kernel, bias, bias[::-1] / 2
  y, vjp = jax.vjp(convolve, *arrays)
  return y, convolve(*arrays), *vjp(gradient)


@pytest.mark.parametrize("implementation", ["numba_cpu", "auto"])
@pytest.mark.parametrize(
  "shape", [(3, 9, 9, 37, 3, 3, 2), (2, 30, 40, 32, 5, 4, 2)], ids=str
)
def test_gelu_in_the_same_pass_is_gelu(shape, implementation):
  arrays = draw(shape)
  ours = gelu_and_gradients(*arrays, implementation=implementation)
  plain = gelu_and_gradients(*arrays, implementation="shifted_sum")
  for a, b in zip(ours, plain, strict=True):
    # The GELU is 1e-7 from XLA's; sums of up to 2400 terms of order 1.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


def test_gelu_is_exact_at_all_sizes():
  x = np.concatenate([np.linspace(-14, 14, 9999), [-1e30, 1e30, 0.0, 1e-30]])
  x = jnp.asarray(x, jnp.float32).reshape(1, 1, 1, -1)
  one, zero = jnp.ones((1, 1, 1, x.size)), jnp.zeros(x.size)
  y, _, slope, *_ = gelu_and_gradients(
    x, one, zero, jnp.ones_like(x), implementation="numba_cpu"
  )
  flat = np.asarray(x, np.float64).ravel()
  below = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in flat])
  density = np.exp(-0.5 * flat * flat) / math.sqrt(2 * math.pi)
  # Half of float32's rounding at 1 from the formula, the rest from float32.
  error = np.abs(np.asarray(y, np.float64).ravel() - flat * below)
  assert np.all(error <= 2e-7 * np.maximum(1, np.abs(flat)))
  error = np.asarray(slope, np.float64).ravel() - (below + flat * density)
  assert np.max(np.abs(error)) < 6e-7


def test_bfloat16_rounds_to_even_and_keeps_what_is_not_finite():
  x = np.array([1 + 2**-8, 1 + 3 * 2**-8, np.inf, np.nan, 3e38], np.float32)
  # One tap of one: x is split in two bfloat16 numbers that the bias joins.
  high = jnp.asarray(x, jnp.bfloat16)
  low = np.zeros_like(x)
  np.subtract(x, high, out=low, where=np.isfinite(x))
  y = ops.depthwise_conv(
    high.reshape(1, 1, 1, 5),
    jnp.ones((1, 1, 1, 5)),
    bias=jnp.asarray(low),
    implementation="numba_cpu",
  )
  np.testing.assert_array_equal(
    np.asarray(y[0, 0, 0], np.float32),
    np.asarray(jnp.asarray(x, jnp.bfloat16), np.float32),
  )


def test_no_bias_is_a_bias_of_zeros():
  x, kernel, bias, _ = draw((2, 9, 8, 20, 5, 5, 1))
  convolve = functools.partial(ops.depthwise_conv, implementation="numba_cpu")
  with_zeros = convolve(x, kernel, bias=0 * bias)
  np.testing.assert_array_equal(convolve(x, kernel), with_zeros)


def test_sums_do_not_depend_on_who_adds():
  arrays = draw((8, 28, 28, 64, 5, 5, 1))
  first = run(*arrays, dilation=1)
  for _ in range(20):
    for a, b in zip(first, run(*arrays, dilation=1), strict=True):
      np.testing.assert_array_equal(a, b)  # To the bit.


def test_two_threads_at_once_get_what_one_gets():
  cases = [draw((4, 28, 28, 48, 7, 7, 3)), draw((3, 14, 14, 70, 3, 3, 3))]
  alone = [run(*case, dilation=3) for case in cases]
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    jobs = [
      (n % 2, pool.submit(run, *cases[n % 2], dilation=3)) for n in range(40)
    ]
    for n, job in jobs:
      for a, b in zip(alone[n], job.result(), strict=True):
        np.testing.assert_array_equal(a, b)


def shard(axes, shape):
  devices = np.array(jax.devices()).reshape(shape)
  mesh = Mesh(devices, axes)
  split, whole = (
    NamedSharding(mesh, PartitionSpec(*spec)) for spec in ((axes,), ())
  )
  x, kernel, bias, gradient = draw((16, 6, 5, 37, 3, 3, 2))
  return (
    jax.device_put(x, split),
    jax.device_put(kernel, whole),
    jax.device_put(bias, whole),
    jax.device_put(gradient, split),
  )


@pytest.mark.parametrize(
  "mesh", [(("data",), (8,)), (("data", "fsdp"), (4, 2))]
)
def test_sharded_batch_stays_in_place(mesh):
  arrays = shard(*mesh)
  program = run.lower(*arrays, dilation=2).compile()
  text = str(program.as_text())
  # Of the kernel's and the bias's gradient; no device sees another's maps.
  assert "all-reduce" in text
  for name in ("all-gather", "all-to-all", "collective-permute"):
    assert name not in text
  whole = run(*(jnp.asarray(np.asarray(a)) for a in arrays), dilation=2)
  for a, b in zip(program(*arrays), whole, strict=True):
    # The same sums in another order, of 16 * 6 * 5 terms of order 1.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


def test_vmap_over_kernels_and_inside_of_vmap():
  x, kernel, bias, gradient = draw((2, 5, 6, 9, 3, 3, 1))
  kernels = jnp.stack([kernel, -2 * kernel, 0 * kernel])

  def one(kernel, x):
    return run(x[None], kernel, bias, gradient[:1], dilation=1)

  twice = jax.vmap(jax.vmap(one, (0, None)), (None, 0))(kernels, x)
  for i in range(2):
    for n in range(3):
      for a, b in zip(twice, one(kernels[n], x[i]), strict=True):
        # The same loops; one call's parts of a sum may be cut elsewhere.
        np.testing.assert_allclose(a[i, n], b, rtol=1e-6, atol=1e-6)


def test_other_dtypes_are_left_to_the_shifted_sum():
  x, kernel, bias, _ = draw((1, 4, 4, 3, 3, 3, 1), jnp.float16)
  y = ops.depthwise_conv(x, kernel, bias=bias, implementation="numba_cpu")
  assert y.dtype == jnp.float16
  assert not call.takes(jnp.float16)


def test_auto_on_a_cpu_is_these_loops():
  x, kernel, _, _ = draw((1, 4, 4, 2, 3, 3, 1))
  assert (
    "van_jax_depthwise"
    in jax.jit(ops.depthwise_conv).lower(x, kernel).as_text()
  )


def test_auto_does_without_numba(monkeypatch):
  monkeypatch.setattr(call, "is_available", lambda: False)
  x, kernel, _, _ = draw((1, 4, 6, 2, 3, 3, 1))
  text = jax.jit(lambda x, k: ops.depthwise_conv(x, k)).lower(x, kernel)
  assert "van_jax_depthwise" not in text.as_text()
  with pytest.raises(RuntimeError, match="shifted_sum"):
    ops.depthwise_conv(x, kernel, implementation="numba_cpu")


def test_bias_of_another_size_is_named():
  x, kernel, bias, _ = draw((1, 4, 4, 2, 3, 3, 1))
  with pytest.raises(ValueError, match=r"bias.shape=\(1,\) does not fit"):
    ops.depthwise_conv(x, kernel, bias=bias[:1])


def test_program_from_the_cache_finds_its_loops(tmp_path):
  program = f"""
import jax, jax.numpy as jnp
jax.config.update("jax_compilation_cache_dir", {str(tmp_path)!r})
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
from van_jax import ops
y = jax.jit(ops.depthwise_conv)(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 1, 2)))
print(float(y.sum()))
"""
  outputs = []
  for _ in range(2):  # The second process reads what the first one wrote.
    result = subprocess.run(
      [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    outputs.append(result.stdout)
    assert any("depthwise" in file.name for file in tmp_path.iterdir())
  assert outputs[0] == outputs[1] == "200.0\n"


@pytest.mark.parametrize("shape", [(0, 4, 4, 8), (2, 0, 4, 8), (2, 4, 0, 8)])
def test_no_examples_or_pixels_have_no_gradient(shape):
  arrays = draw((*shape, 3, 3, 1))
  y, x_gradient, *gradients = run(*arrays, dilation=1)
  assert y.shape == x_gradient.shape == shape
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, 0)
