"""GPU kernels, in Pallas's interpreter, against explicit loops in float64."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import ops
from van_jax.ops import by_platform, shifted_sum
from van_jax.ops.gpu import plan as plans, proven
from van_jax.ops.gpu.plan import Taps

UNIT = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
# (batch, height, width, channels, taps high, taps wide, dilation), dtype
CASES = [
  ((1, 1, 1, 5, 4, 4, 2), "float32"),  # No tap meets the map.
  ((5, 2, 3, 4, 2, 2, 3), "float32"),  # One tap does, before the position.
  ((2, 7, 7, 40, 7, 7, 3), "bfloat16"),  # VAN's last stage; a block and more.
  ((2, 9, 4, 33, 4, 3, 2), "float16"),  # Even; several units of columns.
]


def gelu_and_slope(z):
  """Returns the GELU and its derivative, of float64."""
  below = (1 + np.vectorize(math.erf)(z / math.sqrt(2))) / 2
  density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
  return z * below, below + z * density


def correlate(x, kernel, dilation):
  """Returns the convolution by loops over the taps."""
  y = np.zeros_like(x)
  for (p, q), to, of in moves(x, kernel, dilation):
    y[to] += x[of] * kernel[p, q, 0]
  return y


def gradients(x, kernel, gradient, dilation):
  """Returns x's, kernel's and bias's gradient by loops."""
  dx, dk = np.zeros_like(x), np.zeros_like(kernel)
  for (p, q), to, of in moves(x, kernel, dilation):
    dx[of] += gradient[to] * kernel[p, q, 0]
    dk[p, q, 0] = np.sum(x[of] * gradient[to], (0, 1, 2))
  return dx, dk, np.sum(gradient, (0, 1, 2))


def moves(x, kernel, dilation):
  """Yields (tap, where it is written, where it is read)."""
  _, H, W, _ = x.shape
  rows, columns = (shifted_sum.offsets(n, dilation) for n in kernel.shape[:2])
  for p, row in enumerate(rows):
    for q, column in enumerate(columns):
      if abs(row) < H and abs(column) < W:
        to, of = (
          np.s_[
            :,
            max(0, -r) : H - max(0, r),
            max(0, -c) : W - max(0, c),
          ]
          for r, c in ((row, column), (-row, -column))
        )
        yield (p, q), to, of


def draw(shape, dtype):
  """Returns x, kernel, two biases, gradient: numbers of dtype, in float64."""
  B, H, W, C, kh, kw, _ = shape
  rng = np.random.default_rng(0)
  return [
    np.asarray(jnp.asarray(rng.standard_normal(s), dtype), np.float64)
    for s in ((B, H, W, C), (kh, kw, 1, C), (C,), (C,), (B, H, W, C))
  ]


def in_float32(arrays, dtype):
  """Returns maps of dtype and parameters of float32, as a model has them."""
  x, *parameters, gradient = arrays
  return (
    jnp.asarray(x, dtype),
    *(jnp.asarray(p, jnp.float32) for p in parameters),
    jnp.asarray(gradient, dtype),
  )


@functools.partial(jax.jit, static_argnames=("dilation", "implementation"))
def conv(x, kernel, bias, input_bias, gradient, *, dilation, implementation):
  """Returns the result and all gradients, of the plain convolution."""
  del input_bias
  y, vjp = jax.vjp(
    lambda x, kernel, bias: ops.depthwise_conv(
      x, kernel, bias=bias, dilation=dilation, implementation=implementation
    ),
    *(x, kernel, bias),
  )
  return y, *vjp(gradient)


@functools.partial(jax.jit, static_argnames="dilation")
def conv_gelu(x, kernel, bias, input_bias, gradient, *, dilation):
  """Returns the result and all gradients, with both biases and GELU."""
  y, vjp = jax.vjp(
    lambda x, kernel, bias, input_bias: ops.depthwise_conv_gelu(
      x,
      kernel,
      bias=bias,
      input_bias=input_bias,
      dilation=dilation,
      implementation="pallas_gpu",
    ),
    *(x, kernel, bias, input_bias),
  )
  return y, *vjp(gradient)


conv_here = functools.partial(conv, implementation="pallas_gpu")


def check(ours, exact, sizes, terms):
  """Holds every number to the bound on a float32 sum, rounded to its dtype.

  A sum of n products, in any order, is off by at most (n + 1) roundings of
  the sum of their absolute values (Higham, Accuracy and Stability, 3.1).
  """
  for a, b, size, n in zip(ours, exact, sizes, terms, strict=True):
    bound = (n + 1) * UNIT["float32"] * size
    bound += UNIT[str(a.dtype)] * (np.abs(b) + bound)
    assert np.all(np.abs(np.asarray(a, np.float64) - b) <= bound)


def check_conv(shape, dtype):
  arrays = draw(shape, dtype)
  ours = conv_here(*in_float32(arrays, dtype), dilation=shape[-1])
  exact, sizes = (
    (
      correlate(x, kernel, shape[-1]) + bias,
      *gradients(x, kernel, gradient, shape[-1]),
    )
    for x, kernel, bias, _, gradient in (arrays, map(np.abs, arrays))
  )
  B, H, W, _, kh, kw, _ = shape
  terms = (kh * kw + 1, kh * kw, B * H * W, B * H * W)
  check(ours, exact, sizes, terms)
  assert [a.dtype for a in ours] == [dtype, dtype, "float32", "float32"]


@pytest.fixture
def _narrow(monkeypatch):
  """Keeps the programs that the interpreter compiles small."""
  monkeypatch.setattr(plans, "_WIDEST", 2)


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize(("shape", "dtype"), CASES, ids=str)
def test_result_and_gradients_are_within_rounding(shape, dtype):
  check_conv(shape, dtype)


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("enough", [1, 10**6], ids=["rounds", "bands"])
def test_work_is_cut_to_what_there_is_of_it(enough, monkeypatch):
  monkeypatch.setattr(plans, "_ENOUGH", enough)
  shape = (9, 9, 3, 33, 2, 1, 1)
  rows, columns = Taps.of(2, 1), Taps.of(1, 1)
  forward = plans.make(shape[:4], rows, columns, 4)
  backward = plans.make(shape[:4], rows, columns, 4, summed=True)
  assert (forward.bands > 1) == (enough > 1)  # Few programs: of fewer rows;
  assert (backward.rounds > 1) == (enough == 1)  # many: of more examples.
  check_conv(shape, "float32")


def test_wide_units_are_right():
  check_conv((1, 3, 11, 3, 2, 3, 1), "float32")


def gelu_reference(arrays, dilation):
  """Returns the result and all gradients, in float64."""
  x, kernel, bias, input_bias, gradient = arrays
  x = x + input_bias  # Zeros around the map get none.
  y, slope = gelu_and_slope(correlate(x, kernel, dilation) + bias)
  dx, dk, db = gradients(x, kernel, gradient * slope, dilation)
  return y, dx, dk, db, np.sum(dx, (0, 1, 2))


@pytest.mark.usefixtures("_narrow")
def test_gelu_and_its_gradients_come_from_the_same_kernels():
  arrays = draw((2, 4, 3, 33, 2, 3, 2), "bfloat16")
  ours = conv_gelu(*in_float32(arrays, "bfloat16"), dilation=2)
  for a, b in zip(ours, gelu_reference(arrays, 2), strict=True):
    # Results and slopes are rounded to 2**-9, which sums of up to 24 such
    # terms of order 1 make no worse than 2**-6 of the largest.
    bound = 2**-6 * max(1, np.abs(b).max())
    np.testing.assert_allclose(a, b, rtol=0, atol=bound)


@pytest.mark.usefixtures("_narrow")
def test_a_batch_over_eight_devices_stays_where_it_is():
  mesh = Mesh(np.array(jax.devices()), ("batch",))
  split, whole = (
    NamedSharding(mesh, PartitionSpec(*s)) for s in (("batch",), ())
  )
  exact = draw((8, 3, 2, 3, 2, 2, 1), "float32")
  x, *parameters, gradient = in_float32(exact, "float32")
  arrays = (
    jax.device_put(x, split),
    *(jax.device_put(p, whole) for p in parameters),
    jax.device_put(gradient, split),
  )
  program = conv_gelu.lower(*arrays, dilation=1).compile()
  text = str(program.as_text())
  for other in ("all-gather", "all-to-all", "collective-permute"):
    assert other not in text
  ours = program(*arrays)
  assert ours[0].sharding.is_equivalent_to(split, 4)
  for a, b in zip(ours, gelu_reference(exact, 1), strict=True):
    # Sums of 48 products of order 1 in float32, of a GELU to 1e-7.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_proven", [False, True])
def test_auto_is_these_kernels_on_gpus_where_a_run_has_shown_it(
  is_proven, monkeypatch
):
  monkeypatch.setattr(by_platform, "_compiled_for", "cuda")  # No CPU's loops.
  if is_proven:
    shape = proven.Shape(4, 32, 3, 1, "float32")
    monkeypatch.setattr(proven, "FASTER", frozenset({shape}))
  text = for_gpus((2, 4, 4, 32), (3, 3, 1, 32), "auto")
  assert text.count("xla.gpu.triton") == is_proven
  assert text.count("stablehlo.convolution") == 1 - is_proven


@pytest.mark.parametrize(
  ("size", "dtype"), [((3, 3), "float64"), ((13, 13), "float32")]
)
def test_what_the_registers_do_not_hold_is_xlas(size, dtype):
  with jax.enable_x64(dtype == "float64"):
    text = for_gpus((2, 4, 4, 3), (*size, 1, 3), "pallas_gpu", dtype)
  assert "xla.gpu.triton" not in text
  assert text.count("stablehlo.convolution") == 1


def test_kernels_take_maps_in_programs_of_double_precision():
  with jax.enable_x64(True):
    text = for_gpus((2, 4, 4, 3), (3, 3, 1, 3), "pallas_gpu", gradient=True)
  assert text.count("xla.gpu.triton") == 2


def for_gpus(shape, size, implementation, dtype="float32", gradient=False):
  """Returns the program for GPUs of a convolution, or of all gradients."""

  def run(x, kernel):
    y = ops.depthwise_conv(x, kernel, implementation=implementation)
    return y.sum().astype(jnp.float32)

  run = jax.grad(run, (0, 1)) if gradient else run
  x, kernel = jnp.ones(shape, dtype), jnp.ones(size, dtype)
  lowered = jax.jit(run).trace(x, kernel).lower(lowering_platforms=("cuda",))
  return lowered.as_text()


@pytest.mark.parametrize("length", [56, 28, 14, 7])
@pytest.mark.parametrize(("taps", "dilation"), [(3, 1), (5, 1), (7, 3)])
def test_the_cut_of_every_stage_wastes_little(length, taps, dilation):
  live, _ = Taps.of(taps, dilation).live(length)
  width = {56: 32, 28: 64, 14: 160, 7: 256}[length]  # B0's; B2's is twice that.
  for channels in (width, 2 * width, 4 * width, 8 * width):
    for size in (2, 4):
      plan = plans.make((256, length, length, channels), live, live, size)
      # Of 7 columns in three classes the kernels compute nine.
      assert plan.groups * plan.width * dilation <= 1.3 * length
      # A processor of the largest card has a program at least.
      assert math.prod(plan.grid) >= 132


@pytest.mark.parametrize("itemsize", [2, 4])
def test_what_a_thread_holds_fits_into_its_registers(itemsize):
  sizes = [(a, b) for a in range(1, 60) for b in range(1, 60)]
  sizes = [size for size in sizes if plans.fits(size)]
  assert {(7, 7), (11, 11), (21, 1), (1, 21), (39, 1), (1, 39)} < set(sizes)
  for size in sizes:
    rows, columns = (Taps.of(n, 1) for n in size)
    for maps in (1, 2):
      plan = plans.make((256, 56, 56, 64), rows, columns, itemsize, maps=maps)
      lanes = plan.units * plan.channels // (32 * plan.warps)
      assert lanes * plans.held(56, rows, columns, plan.width, maps) <= 196
