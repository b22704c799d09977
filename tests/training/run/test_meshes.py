"""Checkpoints of any mesh and number of processes go onto any other."""

import json
import pathlib
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import on_two_processes as two
import pytest
from jax.sharding import Mesh

import van_jax
from van_jax.training.run import fingerprint, restoring

PARTS = ("step", "params", "batch_stats", "opt_state", "ema")


def mesh_of(data, fsdp):
  devices = np.array(jax.devices()[: data * fsdp]).reshape(data, fsdp)
  return Mesh(devices, ("data", "fsdp"))


def as_version(folder, version):
  """Puts a checkpoint's checksums in the place of those of an old version."""
  state = two.numbers(1)
  checksums = (
    {"crc32": fingerprint.fingerprint([state[part] for part in PARTS])}
    if version == 1
    else {"parts_crc32": fingerprint.fingerprints(state)}
  )
  (folder / "1" / "fingerprint" / "metadata").write_text(json.dumps(checksums))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Returns a folder with checkpoints of one process on eight devices."""
  folder = tmp_path_factory.mktemp("meshes")
  mesh = mesh_of(2, 4)
  with two.open_checkpoints(folder / "alone") as checkpointer:
    checkpointer.save(1, two.make_state(1, mesh))
  for version in (1, 2):
    shutil.copytree(folder / "alone", folder / f"old{version}")
    as_version(folder / f"old{version}", version)
  shutil.copytree(folder / "alone", folder / "damaged")
  with two.open_checkpoints(folder / "damaged") as checkpointer:
    checkpointer.save(2, two.make_state(2, mesh))
  return folder


@pytest.fixture(scope="module")
def together(folder):
  """Returns the folder after two processes of two devices each had it."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  program = pathlib.Path(two.__file__)
  environment = {
    "PYTHONPATH": str(program.parents[3]),
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2 "
    "--xla_backend_optimization_level=0",
    "JAX_PLATFORMS": "cpu",
    "PATH": "",
  }
  processes = [
    subprocess.Popen(
      [sys.executable, str(program), str(folder), address, str(i)],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      env=environment,
    )
    for i in range(2)
  ]
  try:
    outputs = [process.communicate(timeout=300) for process in processes]
  finally:
    for process in processes:
      process.kill()
  for out, err in outputs:
    assert "all of it held" in out, err
  return folder


@pytest.mark.parametrize(("data", "fsdp"), [(8, 1), (1, 8), (4, 2), (1, 1)])
def test_one_mesh_goes_on_from_another(folder, data, fsdp):
  like = two.abstract(mesh_of(data, fsdp))
  found = restoring.restore(folder / "alone", 1, like)
  two.assert_is(found, 1)
  assert found.params["kernel"].sharding == like.params["kernel"].sharding


@pytest.mark.parametrize("version", [1, 2])
def test_old_checkpoints_go_onto_a_mesh_that_splits_them(folder, version):
  like = two.abstract(mesh_of(2, 4))
  two.assert_is(restoring.restore(folder / f"old{version}", 1, like), 1)


@pytest.mark.parametrize(("data", "fsdp"), [(8, 1), (2, 4), (1, 1)])
def test_one_process_goes_on_from_two(together, data, fsdp):
  """And two from one, on_two_processes.py has compared."""
  for step in (1, 2):
    like = two.abstract(mesh_of(data, fsdp))
    two.assert_is(restoring.restore(together / "together", step, like), step)


def test_what_one_process_cannot_read_all_set_aside(together):
  names = {path.name for path in (together / "damaged").iterdir()}
  assert {"1", "damaged-2"} <= names


def test_a_bundle_of_two_processes_shards_is_whole(together):
  bundle = van_jax.load_bundle(together / "bundle")
  for leaf in jax.tree.leaves(bundle.variables):
    expected = np.arange(leaf.size, dtype=np.float32).reshape(leaf.shape)
    np.testing.assert_array_equal(leaf, expected)
