"""TPU kernels, in Pallas's interpreter, against explicit loops in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import ops
from van_jax.ops import shifted_sum
from van_jax.ops.tpu import call, plan as plans
from van_jax.ops.tpu.layout import Layout

UNIT = {"float32": 2.0**-24, "bfloat16": 2.0**-8}  # Largest rounding error.
# (batch, height, width, channels, taps high, taps wide, dilation)
SHAPES = [
  (1, 1, 1, 1, 5, 5, 1),
  (1, 1, 1, 509, 4, 4, 2),  # No tap meets the map.
  (3, 5, 6, 5, 4, 3, 4),
  (9, 7, 7, 12, 7, 7, 3),  # VAN's last stage: most taps miss the map.
  (16, 6, 7, 64, 2, 6, 1),  # Two groups of examples share a register,
  (32, 3, 4, 160, 3, 5, 2),  # or four of them, beside a full register;
  (64, 9, 3, 32, 3, 3, 1),  # or channels do, when batch fills lanes better.
  (130, 2, 3, 9, 3, 3, 2),  # More than one register of examples.
  (8, 4, 3, 300, 5, 5, 1),  # Three of channels, the last one not full.
  (2, 20, 30, 3, 3, 3, 1),  # Two runs of columns; no loop over rows of taps.
]


def reference(x, kernel, bias, gradient, dilation):
  """Returns result, and x's, kernel's and bias's gradient, by loops."""
  _, H, W, _ = x.shape
  y, dx, dk = bias + np.zeros_like(x), np.zeros_like(x), np.zeros_like(kernel)
  rows, columns = (shifted_sum.offsets(n, dilation) for n in kernel.shape[:2])
  for p, row in enumerate(rows):
    for q, column in enumerate(columns):
      to = np.s_[
        :, max(0, -row) : H - max(0, row), max(0, -column) : W - max(0, column)
      ]
      of = np.s_[
        :, max(0, row) : H - max(0, -row), max(0, column) : W - max(0, -column)
      ]
      if abs(row) < H and abs(column) < W:
        y[to] += x[of] * kernel[p, q, 0]
        dx[of] += gradient[to] * kernel[p, q, 0]
        dk[p, q, 0] = np.sum(x[of] * gradient[to], (0, 1, 2))
  return y, dx, dk, np.sum(gradient, (0, 1, 2))


def draw(shape, dtype):
  """Returns x, kernel, bias, gradient: numbers of dtype, in float64."""
  B, H, W, C, kh, kw, _ = shape
  rng = np.random.default_rng(0)
  return [
    np.asarray(jnp.asarray(rng.standard_normal(s), dtype), np.float64)
    for s in ((B, H, W, C), (kh, kw, 1, C), (C,), (B, H, W, C))
  ]


def plainly(x, kernel, bias, gradient, dilation):
  y, vjp = jax.vjp(
    lambda *arrays: call.depthwise_conv(*arrays, dilation),
    x,
    kernel,
    bias,
  )
  return y, *vjp(gradient)


conv_and_gradients = jax.jit(plainly, static_argnums=4)


def check(ours, arrays, shape, dtype):
  """Holds every number to the bound on a float32 sum, rounded to dtype.

  A sum of n products, in any order, is off by at most (n + 1) roundings of
  the sum of their absolute values (Higham, Accuracy and Stability, 3.1).
  """
  B, H, W, _, kh, kw, dilation = shape
  x, kernel, bias, gradient = arrays
  exact = reference(x, kernel, bias, gradient, dilation)
  x, kernel, bias, gradient = map(np.abs, arrays)
  sizes = reference(x, kernel, bias, gradient, dilation)
  terms = (kh * kw + 1, kh * kw, B * H * W, B * H * W)
  for a, b, size, n in zip(ours, exact, sizes, terms, strict=True):
    assert a.dtype == dtype
    bound = (n + 1) * UNIT["float32"] * size
    bound += UNIT[dtype] * (np.abs(b) + bound)  # Of the result's own dtype.
    assert np.all(np.abs(np.asarray(a, np.float64) - b) <= bound)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_result_and_gradients_are_within_rounding(shape, dtype):
  arrays = draw(shape, dtype)
  ours = conv_and_gradients(*(jnp.asarray(a, dtype) for a in arrays), shape[-1])
  check(ours, arrays, shape, dtype)


@pytest.mark.parametrize(
  "shape", [(8, 23, 2, 5, 7, 7, 3), (16, 13, 3, 33, 4, 3, 1)], ids=str
)
def test_tall_maps_come_in_blocks_of_rows(shape, monkeypatch):
  monkeypatch.setattr(plans, "_BUDGET", 2**20)
  B, H, W, C, kh, kw, dilation = shape
  plan = Layout(B, H, W, C).plan(
    call._taps((kh, kw), dilation), jnp.float32, maps=3
  )
  assert plan is not None
  assert 1 < plan.rows < H
  assert plan.lag > 0
  arrays = draw(shape, "float32")
  ours = conv_and_gradients(
    *(jnp.asarray(a, jnp.float32) for a in arrays), dilation
  )
  check(ours, arrays, shape, "float32")


def test_maps_too_wide_for_vmem_are_left_to_xla(monkeypatch):
  shape = (8, 9, 12, 5, 7, 7, 1)
  arrays = draw(shape, "float32")
  given = [jnp.asarray(a, jnp.float32) for a in arrays]

  def kernels():
    # Functions of their own: jit would take what it traced before.
    run = functools.partial(plainly, dilation=1)
    traced = jax.jit(run).trace(*given)
    text = traced.lower(lowering_platforms=("tpu",)).as_text()
    return text.count("tpu_custom_call")

  assert kernels() == 3
  monkeypatch.setattr(plans, "_BUDGET", 2**18)
  assert (
    Layout(*shape[:4]).plan(call._taps((7, 7), 1), jnp.float32, maps=2) is None
  )
  assert kernels() == 0
  run = functools.partial(plainly, dilation=1)
  check(jax.jit(run)(*given), arrays, shape, "float32")


@pytest.mark.parametrize("size", [224, 384, 512])
@pytest.mark.parametrize("batch", [8, 64, 128])
@pytest.mark.parametrize("maps", [2, 3])
def test_every_stage_fits_vmem(size, batch, maps):
  channels = {0: (32, 64, 96, 768), 1: (64, 128, 192, 1536)}
  channels |= {2: (160, 320, 384, 480, 1920), 3: (256, 512, 768, 3072)}
  for stage, widths in channels.items():
    length = size // 4 // 2**stage
    for C in widths:
      for kernel, dilation in ((3, 1), (5, 1), (7, 3)):
        layout = Layout(batch, length, length, C)
        plan = layout.plan(
          call._taps((kernel, kernel), dilation), jnp.float32, maps=maps
        )
        used = plans._bytes(plan, 4, maps)
        assert used < plans._BUDGET, plan


def test_batch_over_eight_devices_equals_one():
  shape = (16, 6, 5, 3, 3, 3, 2)
  arrays = [jnp.asarray(a, jnp.float32) for a in draw(shape, "float32")]
  split, whole = shardings(("batch",))
  sharded = conv_and_gradients(
    *(
      jax.device_put(a, s)
      for a, s in zip(arrays, (split, whole, whole, split), strict=True)
    ),
    2,
  )
  assert sharded[0].sharding.is_equivalent_to(split, 4)
  for a, b in zip(sharded, conv_and_gradients(*arrays, 2), strict=True):
    # Eight sums of 60 products are added up: a few roundings of order 8.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [("batch",), ("data", "model")])
def test_only_the_kernels_gradient_crosses_devices(axes):
  split, whole = shardings(axes)
  x = jax.ShapeDtypeStruct((16, 4, 3, 3), jnp.float32, sharding=split)
  kernel = jax.ShapeDtypeStruct((3, 3, 1, 3), jnp.float32, sharding=whole)
  bias = jax.ShapeDtypeStruct((3,), jnp.float32, sharding=whole)
  program = conv_and_gradients.lower(x, kernel, bias, x, 1).compile()
  text = str(program.as_text())
  assert text.count("all-reduce(") == 1
  for other in ("all-gather", "all-to-all", "collective-permute"):
    assert other not in text


def test_a_batch_that_does_not_split_evenly_is_still_right():
  shape = (12, 4, 3, 3, 3, 3, 1)
  arrays = draw(shape, "float32")
  _, whole = shardings(("batch",))
  ours = conv_and_gradients(
    *(jax.device_put(jnp.asarray(a, jnp.float32), whole) for a in arrays), 1
  )
  check(ours, arrays, shape, "float32")


@pytest.mark.parametrize(
  ("batch", "width", "channels", "dilation", "kernels"),
  [
    *((8, 4, 2, 1, 1), (7, 4, 2, 1, 0), (8, 4, 160, 1, 1), (8, 4, 256, 1, 0)),
    *((4, 4, 256, 3, 1), (3, 4, 256, 3, 0), (4, 96, 64, 3, 1)),
    *((9, 97, 64, 3, 1), (8, 97, 64, 3, 0)),
  ],
)
def test_auto_is_these_kernels_on_tpus_where_they_win(
  batch, width, channels, dilation, kernels
):
  x = jnp.ones((batch, 4, width, channels))
  kernel = jnp.ones((3, 3, 1, channels))
  run = functools.partial(ops.depthwise_conv, dilation=dilation)
  text = jax.jit(run).trace(x, kernel).lower(lowering_platforms=("tpu",))
  assert text.as_text().count("tpu_custom_call") == kernels
  assert text.as_text().count("stablehlo.convolution") == 1 - kernels


@pytest.mark.parametrize(("batch", "kernels"), [(56, 1), (64, 3)])
def test_auto_counts_the_examples_of_a_device(batch, kernels):
  split, whole = shardings(("batch",))
  x = jax.ShapeDtypeStruct((batch, 4, 4, 3), jnp.float32, sharding=split)
  kernel = jax.ShapeDtypeStruct((3, 3, 1, 3), jnp.float32, sharding=whole)

  def run(x, kernel, gradient):
    y, vjp = jax.vjp(ops.depthwise_conv, x, kernel)
    return y, vjp(gradient)

  text = jax.jit(run).trace(x, kernel, x).lower(lowering_platforms=("tpu",))
  assert text.as_text().count("tpu_custom_call") == kernels


def test_too_few_examples_a_device_are_right_by_xla():
  shape = (16, 6, 5, 3, 3, 3, 2)
  arrays = draw(shape, "float32")
  split, whole = shardings(("batch",))
  placed = [
    jax.device_put(jnp.asarray(a, jnp.float32), s)
    for a, s in zip(arrays, (split, whole, whole, split), strict=True)
  ]

  @jax.jit
  def run(x, kernel, bias, gradient):
    y, vjp = jax.vjp(
      lambda *arrays: call.depthwise_conv(*arrays, 2, least_examples=4),
      x,
      kernel,
      bias,
    )
    return y, *vjp(gradient)

  text = run.lower(*placed).as_text()
  assert text.count("stablehlo.convolution") == 2
  check(run(*placed), arrays, shape, "float32")


def test_runs_inside_of_shard_map():
  shape = (16, 4, 3, 3, 3, 3, 1)
  x, kernel, bias, _ = (
    jnp.asarray(a, jnp.float32) for a in draw(shape, "float32")
  )
  mesh = Mesh(np.array(jax.devices()), ("batch",))
  run = jax.shard_map(
    lambda *arrays: call.depthwise_conv(*arrays, 1),
    mesh=mesh,
    in_specs=(PartitionSpec("batch"), PartitionSpec(), PartitionSpec()),
    out_specs=PartitionSpec("batch"),
    check_vma=False,
  )
  np.testing.assert_array_equal(
    jax.jit(run)(x, kernel, bias),
    call.depthwise_conv(x, kernel, bias, 1),
  )


def shardings(axes):
  """Returns (batch over all eight devices, the same on each)."""
  sizes = {1: (8,), 2: (2, 4)}[len(axes)]
  mesh = Mesh(np.array(jax.devices()).reshape(sizes), axes)
  return (
    NamedSharding(mesh, PartitionSpec(axes)),
    NamedSharding(mesh, PartitionSpec()),
  )
