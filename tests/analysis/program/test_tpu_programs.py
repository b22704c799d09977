"""Programs by the TPU compiler, without a TPU: one slice, two, a kernel's."""

import json

import pytest

pytestmark = pytest.mark.tpu

PROGRAM = """
import json, os, pathlib, sys
from van_jax.analysis import program
from van_jax.analysis.program import dumps

folder = pathlib.Path(sys.argv[1])
os.environ["LIBTPU_INIT_ARGS"] = dumps.libtpu_arguments(folder)

import jax, jax.numpy as jnp, numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from van_jax import ops

def figures(function, *arguments, topology="v5e:2x2", slices=1):
  more = {"num_slices": slices} if slices > 1 else {}
  devices = topologies.get_topology_desc(
    platform="tpu", topology_name=topology, **more).devices
  if slices > 1:
    devices = sorted(devices, key=lambda device: device.slice_index)
  mesh = Mesh(np.array(devices).reshape(-1, 1), ("data", "fsdp"))
  placed = [
    jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, P(*spec)))
    for shape, dtype, *spec in arguments
  ]
  for file in folder.iterdir():
    file.unlink()
  compiled = jax.jit(function).lower(*placed).compile()
  found = program.read(
    compiled, mesh_shape=mesh, slices=slices, schedule_folder=folder)
  return program.as_json(found)

def step(kernel, images, batch):
  def loss(kernel):
    turn = lambda x, _: (jnp.sin(x @ kernel), None)
    return jnp.sum(jax.lax.scan(turn, batch, None, length=3)[0])
  return jax.grad(loss)(kernel), images[::-1] + images

def convolve(x, kernel):
  return ops.depthwise_conv(
    x, kernel, dilation=3, implementation="pallas_tpu")

arguments = (
  ((128, 128), jnp.float32),
  ((64, 8), jnp.uint8, "data"),
  ((64, 128), jnp.float32, "data"),
)
print(json.dumps([
  figures(step, *arguments),
  figures(step, *arguments, slices=2),
  figures(
    convolve,
    ((64, 28, 28, 32), jnp.bfloat16, "data"),
    ((7, 7, 1, 32), jnp.float32),
  ),
  figures(
    convolve,
    ((64, 1, 28, 32), jnp.bfloat16, "data"),
    ((7, 7, 1, 32), jnp.float32),
  ),
]))
"""


@pytest.fixture(scope="module")
def programs(compile_for_tpus, tmp_path_factory):
  """Returns the figures of a step on one slice and two, and of a kernel."""
  said = compile_for_tpus(PROGRAM, tmp_path_factory.mktemp("schedules"))
  return json.loads(said.splitlines()[-1])


def by_link(figures):
  return {(row["kind"], row["link"]): row for row in figures["collectives"]}


def test_a_step_on_one_slice(programs):
  rows = by_link(programs[0])
  assert programs[0]["chip"] == "TPU v5 lite"
  assert set(rows) == {("all-reduce", "ICI"), ("collective-permute", "ICI")}
  gradient = rows["all-reduce", "ICI"]
  assert (gradient["axis"], gradient["devices"]) == ("data", 4)
  # Of the kernel's gradient, summed once or in each of the scan's turns.
  assert gradient["bytes"] % (128 * 128 * 2) == 0
  # 64 rows of 8 bytes over 4 chips.
  assert rows["collective-permute", "ICI"]["bytes"] == 64 * 8 // 4


def test_partners_in_the_other_slice_go_through_the_data_centre(programs):
  rows = by_link(programs[1])
  assert rows["collective-permute", "DCN"]["bytes"] == 64 * 8 // 8
  assert rows["collective-permute", "DCN"]["axis"] == "slice"
  assert ("all-reduce", "DCN") in rows


def test_a_step_has_a_schedule_and_its_loops_turns(programs):
  assert programs[0]["seconds_by_schedule"] > 0
  assert not programs[0]["uncounted_loops"]
  # A product forward, two backward, in each of the three turns, at 16 rows.
  assert programs[0]["flops"] >= 3 * 3 * 2 * 16 * 128 * 128


def test_a_kernel_tells_how_often_its_loops_turn(programs):
  assert programs[2]["schedule_gap"] == ""
  # At least the products over 4096 a cycle, with no lane empty, at 1.5 GHz;
  # taps beyond the border are skipped, half of them at most.
  products = 16 * 28 * 28 * 32 * 49
  assert programs[2]["seconds_by_schedule"] > products / 4096 / 1.5e9 / 2


def test_a_kernel_of_one_row_a_step_tells_of_no_loop_over_rows(programs):
  assert programs[3]["schedule_gap"] == ""
  assert (
    programs[3]["seconds_by_schedule"] > 16 * 28 * 32 * 7 / 4096 / 1.5e9 / 2
  )
