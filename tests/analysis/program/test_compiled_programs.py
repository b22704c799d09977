"""Real programs for 8 CPU devices, whose collectives their source tells."""

import functools
import types
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec as P

from van_jax.analysis import program


@pytest.fixture(scope="module")
def mesh():
  return jax.make_mesh((4, 2), ("data", "fsdp"))


def read(mesh, function, *arguments):
  compiled = jax.jit(function).lower(*arguments).compile()
  return program.read(compiled, mesh_shape=mesh)


def on(mesh, shape, *spec, dtype=jnp.float32):
  sharding = NamedSharding(mesh, P(*spec))
  return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def summed_along(mesh, axis):
  return jax.shard_map(
    lambda x: jax.lax.psum(x, axis),
    mesh=mesh,
    in_specs=P(axis),
    out_specs=P(),
  )


@pytest.mark.parametrize(("axis", "parts"), [("data", 4), ("fsdp", 2)])
def test_a_sum_along_one_axis(mesh, axis, parts):
  found = read(mesh, summed_along(mesh, axis), on(mesh, (parts * 10,), axis))
  (row,) = found.collectives
  assert (row.kind, row.axis, row.devices) == ("all-reduce", axis, parts)
  assert (row.bytes, row.dtype) == (40, "f32")
  assert "psum" in row.op_name


def test_parameters_gathered_and_gradients_scattered(mesh):
  @functools.partial(
    jax.shard_map,
    mesh=mesh,
    in_specs=(P("fsdp"), P(("data", "fsdp"))),
    out_specs=P("fsdp"),
  )
  def step(kernel, x):
    whole = jax.lax.all_gather(kernel, "fsdp", tiled=True)  # [64, 32]
    gradient = x.T @ (x @ whole)
    mine = jax.lax.psum_scatter(gradient, "fsdp", tiled=True)
    return kernel - jax.lax.psum(mine, "data")

  found = read(
    mesh,
    step,
    on(mesh, (64, 32), "fsdp"),
    on(mesh, (16, 64), ("data", "fsdp")),
  )
  by_kind = {row.kind: row for row in found.collectives}
  assert set(by_kind) == {"all-gather", "reduce-scatter", "all-reduce"}
  whole = 64 * 32 * 4
  assert by_kind["all-gather"].bytes == whole
  assert by_kind["reduce-scatter"].bytes == whole
  assert by_kind["all-reduce"].bytes == whole // 2
  axes = {kind: row.axis for kind, row in by_kind.items()}
  assert axes == {
    "all-gather": "fsdp",
    "reduce-scatter": "fsdp",
    "all-reduce": "data",
  }


class Told:
  """A compiled program that says of its memory what it is told to."""

  input_shardings = output_shardings = ()
  as_text = cost_analysis = lambda self: None

  def __init__(self, *, temporaries, peak):
    self._memory = types.SimpleNamespace(
      argument_size_in_bytes=100,
      output_size_in_bytes=90,
      alias_size_in_bytes=80,
      temp_size_in_bytes=temporaries,
      peak_memory_in_bytes=peak,
    )

  def memory_analysis(self):
    """Returns XLA's CompiledMemoryStats, of what is read of them."""
    return self._memory


@pytest.mark.parametrize(
  ("temporaries", "peak", "temporary_bytes", "memory_bytes"),
  [
    (70, 150, 70, 180),
    (0, 110, 0, 110),
    (0, 150, None, 150),  # All on the chip, or not counted.
  ],
)
def test_no_temporaries_are_believed_where_the_peak_says_so_too(
  mesh, temporaries, peak, temporary_bytes, memory_bytes
):
  told: Any = Told(temporaries=temporaries, peak=peak)
  found = program.read(told, mesh_shape=mesh)
  assert found.temporary_bytes == temporary_bytes
  assert found.memory_bytes == memory_bytes


def test_a_scan_counts_its_turns(mesh):
  def seven_sums(x):
    # Each needs the last one's, so that none can be spared.
    body = lambda total, _: (jax.lax.psum(jnp.sin(total), "data"), None)  # noqa: E731
    return jax.lax.scan(body, x, None, length=7)[0]

  shared = jax.shard_map(
    seven_sums, mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False
  )
  found = read(mesh, shared, on(mesh, (10,)))
  assert sum(row.count for row in found.collectives) == 7
  assert sum(row.bytes for row in found.collectives) == 7 * 40
  assert not found.uncounted_loops


def test_arithmetic_counts_a_loop_as_often_as_it_turns(mesh):
  def seven_products(x):
    return jax.lax.scan(lambda x, _: (x @ x, None), x, None, length=7)[0]

  found = read(mesh, seven_products, on(mesh, (30, 30)))
  assert found.flops is not None
  products = 7 * 2 * 30**3
  assert products <= found.flops < 1.01 * products  # And the loop's counter.


def test_memory_is_a_device_s_own(mesh):
  def halved(x):
    return x / 2

  found = read(mesh, halved, on(mesh, (800,), ("data", "fsdp")))
  assert (found.argument_bytes, found.output_bytes) == (400, 400)
  assert not found.collectives
  assert found.largest is None
  assert found.flops == 100


def test_donated_arguments_are_not_counted_twice(mesh):
  step = jax.jit(lambda x: x + 1, donate_argnums=0)
  compiled = step.lower(on(mesh, (8000,))).compile()
  found = program.read(compiled, mesh_shape=mesh)
  assert found.donated_bytes == 32000
  assert found.memory_bytes < 2 * 32000


def test_a_reversed_batch_is_exchanged_between_slices(mesh):
  x = on(mesh, (16, 3), ("data", "fsdp"), dtype=jnp.uint8)
  reverse = jax.jit(lambda x: x[::-1], out_shardings=x.sharding)
  compiled = reverse.lower(x).compile()
  found = program.read(compiled, mesh_shape=mesh, slices=2)
  assert found.largest is not None
  assert found.largest.link == "DCN"
  assert found.largest.axis == "slice"


def test_figures_of_a_cpu_claim_no_schedule_and_no_padding(mesh):
  found = read(mesh, lambda x: x @ x.T, on(mesh, (30, 30)))
  assert found.chip == "cpu"
  assert found.seconds_by_schedule is None
  assert found.padding == program.Padding((), 0, 0)
  assert found.flops == 2 * 30**3
