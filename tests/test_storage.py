"""Folders as users name them."""

import os
import pathlib

import jax
import jax.numpy as jnp
import optax
import pytest

import van_jax
from van_jax import data, storage
from van_jax.training import state
from van_jax.training.run import checkpoint, restoring, workdir


@pytest.fixture
def here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_local_paths_become_absolute(here):
  assert os.fspath(storage.absolute("runs/a")) == str(here / "runs/a")


def test_the_home_folder_is_filled_in():
  assert os.fspath(storage.absolute("~/runs")) == str(
    pathlib.Path.home() / "runs"
  )


def test_remote_paths_stay_as_they_are():
  assert os.fspath(storage.absolute("gs://bucket/runs")) == "gs://bucket/runs"


@pytest.mark.usefixtures("here")
def test_checkpoints_go_into_a_relative_folder():
  values = {"params": {"w": jnp.ones(3)}, "batch_stats": {}}
  start = state.create_state(values, optax.sgd(1.0), ema=False)
  saver = checkpoint.Checkpointer(
    "runs/a", keep_last=1, keep_best=0, best="top1", best_mode="max"
  )
  saver.save(1, start)
  saver.close()
  assert checkpoint.steps("runs/a") == [1]
  assert restoring.restore("runs/a", 1, start).params["w"].shape == (3,)


@pytest.mark.usefixtures("here")
def test_a_relative_workdir_is_claimed_and_set_aside():
  workdir.claim("runs/a", {"seed": 1})
  assert workdir.read_config("runs/a") == {"seed": 1}
  workdir.set_aside("runs/a")
  assert os.listdir("runs") == ["a.1"]


@pytest.mark.usefixtures("here")
def test_a_bundle_goes_into_a_relative_folder_and_comes_back():
  model = van_jax.create_model(
    "van_b0",
    widths=(8, 8, 8, 8),
    depths=(1, 1, 1, 1),
    ffn_ratios=(1, 1, 1, 1),
    num_classes=2,
    conv_implementation="xla",
  )
  shapes = jax.eval_shape(
    model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3))
  )
  variables = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), shapes)
  van_jax.save_bundle(
    "bundles/a",
    model=model,
    variables=variables,
    preprocessing=data.Preprocessing(
      image_size=32,
      resize_mode="warp",
      resize_size=32,
      interpolation="bicubic",
      mean=(0.5, 0.5, 0.5),
      std=(0.5, 0.5, 0.5),
    ),
    source={},
  )
  loaded = van_jax.load_bundle("bundles/a")
  assert jax.tree.structure(loaded.variables) == jax.tree.structure(variables)
