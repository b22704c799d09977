"""The weights of a checkpoint come back without the rest of its state."""

import contextlib
import json
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from van_jax.training import state as state_lib
from van_jax.training.run import checkpoint, fingerprint, restoring

PARTS = ("step", "params", "batch_stats", "opt_state", "ema")


def make_state(*, ema: bool) -> Any:
  """Returns a state whose numbers all differ."""
  variables = {
    "params": {"head": {"kernel": jnp.arange(6.0).reshape(2, 3)}},
    "batch_stats": {"norm": {"mean": jnp.arange(7.0, 10.0)}},
  }
  state: Any = state_lib.create_state(variables, optax.adamw(1e-3), ema=ema)
  if not ema:
    return state
  return state.replace(ema=jax.tree.map(lambda x: -x, variables))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """Returns a function that makes a folder with one checkpoint, of step 1."""

  def save(*, ema):
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    with contextlib.closing(
      checkpoint.Checkpointer(
        folder, keep_last=1, keep_best=0, best="top1", best_mode="max"
      )
    ) as checkpointer:
      checkpointer.save(1, make_state(ema=ema))
    return folder

  return save


@pytest.fixture(scope="module")
def saved_once(saved):
  return saved(ema=True)


@pytest.fixture
def folder(saved_once, tmp_path):
  """Returns a folder with the checkpoint of a state with averages."""
  return shutil.copytree(saved_once, tmp_path / "checkpoints")


def weights(folder, *, averaged=False, width=3):
  device = jax.sharding.SingleDeviceSharding(jax.devices()[3])
  like = {
    "params": {"head": {"kernel": (2, width)}},
    "batch_stats": {"norm": {"mean": (3,)}},
  }
  like = jax.tree.map(
    lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=device),
    like,
    is_leaf=lambda x: isinstance(x, tuple),
  )
  return restoring.restore_weights(folder, 1, like, averaged=averaged)


def edit_checksums(folder, change):
  """Changes a checkpoint's fingerprint, as if its arrays were others."""
  path = folder / "1" / "fingerprint" / "metadata"
  path.write_text(json.dumps(change(json.loads(path.read_text()))))


def spoil(*names):
  def change(checksums):
    for name in names:
      checksums["parts_sum32"][name] ^= 1
    return checksums

  return change


def as_version_1(checksums):
  del checksums
  state = make_state(ema=True)
  return {"crc32": fingerprint.fingerprint([getattr(state, p) for p in PARTS])}


def as_version_2(checksums):
  del checksums
  state = make_state(ema=True)
  parts = {part: getattr(state, part) for part in PARTS}
  return {"parts_crc32": fingerprint.fingerprints(parts)}


def assert_equal(got, want):
  assert jax.tree.structure(got) == jax.tree.structure(want)
  jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("change", [dict, as_version_1, as_version_2])
def test_the_weights_asked_for_come_back(folder, averaged, change):
  edit_checksums(folder, change)
  wanted = make_state(ema=True).variables(averaged=averaged)
  assert_equal(weights(folder, averaged=averaged), wanted)


def test_without_averages_the_raw_weights_come_back(saved):
  wanted = make_state(ema=False).variables(averaged=True)
  assert_equal(weights(saved(ema=False), averaged=True), wanted)


def test_they_go_where_they_are_asked_for(folder):
  leaves = jax.tree.leaves(weights(folder))
  assert {leaf.device for leaf in leaves} == {jax.devices()[3]}


@pytest.mark.parametrize(
  ("averaged", "others"),
  [
    (False, ("step", "opt_state", "ema")),
    (True, ("step", "params", "batch_stats", "opt_state")),
  ],
)
def test_nothing_else_is_read(folder, averaged, others):
  edit_checksums(folder, spoil(*others))  # Were they read, they were damaged.
  weights(folder, averaged=averaged)


@pytest.mark.parametrize(
  ("averaged", "part"),
  [(False, "params"), (False, "batch_stats"), (True, "ema")],
)
def test_damaged_weights_are_found(folder, averaged, part):
  edit_checksums(folder, spoil(part))
  with pytest.raises(restoring.CheckpointError, match="checksum"):
    weights(folder, averaged=averaged)


def test_damage_anywhere_is_found_in_version_1(folder):
  edit_checksums(folder, lambda _: {"crc32": 0})
  with pytest.raises(restoring.CheckpointError, match="checksum"):
    weights(folder)


def test_a_checkpoint_without_checksums_is_damaged(folder):
  edit_checksums(folder, lambda _: {})
  with pytest.raises(restoring.CheckpointError, match="is damaged"):
    weights(folder)


@pytest.mark.parametrize("averaged", [False, True])
def test_another_architecture_is_named(folder, averaged):
  name = "params/head/kernel: checkpoint (2, 3), config (2, 4)"
  with pytest.raises(ValueError, match="does not fit") as info:
    weights(folder, averaged=averaged, width=4)
  assert name in str(info.value)


def test_a_missing_step_is_named_with_those_that_exist(folder):
  shutil.move(folder / "1", folder / "2")
  with pytest.raises(restoring.CheckpointError, match=r"1; .*\[2\]"):
    weights(folder)
