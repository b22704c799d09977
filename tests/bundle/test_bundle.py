"""The bundle: what goes in comes out, and damage is found."""

import dataclasses
import json

import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import bundle as bundle_lib, models
from van_jax.bundle import (
  description as description_lib,
  weights as weights_lib,
)
from van_jax.data.images import preprocessing as preprocessing_lib

PREPROCESSING = preprocessing_lib.Preprocessing(
  image_size=224,
  resize_mode="short_side",
  resize_size=248,
  interpolation="bicubic",
  mean=(0.5, 0.5, 0.5),
  std=(0.5, 0.5, 0.5),
)
LABELS = ["ant", "bee", "çrane"]
SOURCE = {"format": "official", "sha256": "0" * 64, "epoch": 300}


@pytest.fixture(scope="module")
def model():
  return models.VAN(
    widths=(8, 8, 16, 16),
    depths=(1, 1, 2, 1),
    ffn_ratios=(2, 2, 1, 1),
    num_classes=3,
    layer_norm_epsilon=1e-5,
  )


@pytest.fixture(scope="module")
def variables(model):
  """Returns weights that differ from a fresh model's in every leaf."""
  fresh = jax.eval_shape(
    lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
  )
  random = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: random.normal(size=leaf.shape).astype(np.float32), fresh
  )


@pytest.fixture
def saved(tmp_path, model, variables):
  """Returns the path of a bundle."""
  save(tmp_path / "bundle", model, variables)
  return tmp_path / "bundle"


def save(path, model, variables, **changes):
  arguments = {
    "preprocessing": PREPROCESSING,
    "labels": LABELS,
    "source": SOURCE,
  }
  bundle_lib.save_bundle(
    path, model=model, variables=variables, **(arguments | changes)
  )


def assert_same(got, want):
  jax.tree.map(np.testing.assert_array_equal, got, want)  # Bit for bit.


def edit(path, **changes):
  """Changes fields of a bundle's JSON; "" removes one."""
  description = json.loads((path / "bundle.json").read_text()) | changes
  kept = {name: value for name, value in description.items() if value != ""}
  (path / "bundle.json").write_text(json.dumps(kept))


def test_weights_come_back_bit_for_bit(saved, variables):
  loaded = bundle_lib.load_bundle(saved).variables
  assert_same(loaded, variables)
  assert {str(leaf.dtype) for leaf in jax.tree.leaves(loaded)} == {"float32"}


def test_all_fields_come_back(saved, model):
  bundle = bundle_lib.load_bundle(saved)
  assert models.architecture(bundle.model) == models.architecture(model)
  assert bundle.preprocessing == PREPROCESSING
  assert bundle.labels == tuple(LABELS)
  assert bundle.source == SOURCE


def test_loaded_model_gives_the_same_logits(saved, model, variables):
  images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
  bundle = bundle_lib.load_bundle(saved)
  np.testing.assert_array_equal(
    jax.jit(bundle.model.apply)(bundle.variables, images),
    jax.jit(model.apply)(variables, images),
  )


def test_json_can_be_read_by_a_person(saved):
  text = (saved / "bundle.json").read_text(encoding="utf-8")
  description = json.loads(text)
  assert description["format_version"] == 2
  assert description["task"] == "classification"
  assert description["num_classes"] == 3
  assert description["architecture"]["widths"] == [8, 8, 16, 16]
  assert "çrane" in text


def test_weights_sharded_over_devices_load_on_one(tmp_path, model, variables):
  mesh = Mesh(np.array(jax.devices()), ("data",))

  def shard(leaf):
    split = leaf.ndim and leaf.shape[-1] % len(jax.devices()) == 0
    spec = [None] * (leaf.ndim - 1) + ["data" if split else None]
    return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec(*spec)))

  save(tmp_path / "bundle", model, jax.tree.map(shard, variables))
  loaded = bundle_lib.load_bundle(tmp_path / "bundle").variables
  assert_same(loaded, variables)
  leaf = loaded["params"]["norm1"]["scale"]
  assert leaf.sharding.device_set == {jax.devices()[0]}


def test_frozen_dicts_are_taken(tmp_path, model, variables):
  save(tmp_path / "bundle", model, flax.core.freeze(variables))
  assert_same(bundle_lib.load_bundle(tmp_path / "bundle").variables, variables)


def test_model_without_head_has_no_labels(tmp_path, model, variables):
  headless = dataclasses.replace(model, num_classes=0)
  params = {k: v for k, v in variables["params"].items() if k != "head"}
  path = tmp_path / "bundle"
  save(path, headless, variables | {"params": params}, labels=None)
  bundle = bundle_lib.load_bundle(path)
  assert bundle.model.num_classes == 0
  assert bundle.labels is None


def test_fields_that_weights_do_not_depend_on_can_be_overridden(saved):
  model = bundle_lib.load_bundle(
    saved, dtype="bfloat16", drop_path_rate=0.3
  ).model
  assert (model.dtype, model.drop_path_rate) == (jnp.bfloat16, 0.3)


def test_architecture_cannot_be_overridden(saved):
  with pytest.raises(ValueError, match=r"num_classes cannot be overridden"):
    bundle_lib.load_bundle(saved, num_classes=10)


def test_existing_folder_is_refused(saved, model, variables):
  with pytest.raises(ValueError, match="exists already"):
    save(saved, model, variables)


def test_overwrite_replaces_the_old_bundle(saved, model, variables):
  save(saved, model, variables, overwrite=True, source={"format": "new"})
  assert bundle_lib.load_bundle(saved).source == {"format": "new"}
  assert [path.name for path in saved.parent.iterdir()] == ["bundle"]


def test_overwrite_never_deletes_what_is_no_bundle(tmp_path, model, variables):
  precious = tmp_path / "home" / "thesis.txt"
  precious.parent.mkdir()
  precious.write_text("years")
  with pytest.raises(ValueError, match="not a bundle"):
    save(precious.parent, model, variables, overwrite=True)
  assert precious.read_text() == "years"


def test_failure_leaves_nothing_behind(tmp_path, model, variables, monkeypatch):
  def fail(*_):
    raise OSError("disk full")

  monkeypatch.setattr(description_lib, "write", fail)
  with pytest.raises(OSError, match="disk full"):
    save(tmp_path / "bundle", model, variables)
  assert list(tmp_path.iterdir()) == []


def test_failed_overwrite_keeps_the_old(saved, model, variables, monkeypatch):
  def fail(*_):
    raise OSError("disk full")

  with monkeypatch.context() as patch:
    patch.setattr(weights_lib, "write", fail)
    with pytest.raises(OSError, match="disk full"):
      save(saved, model, variables, overwrite=True)
  assert bundle_lib.load_bundle(saved).source == SOURCE


def test_all_misfits_are_in_one_error(tmp_path, model, variables):
  params = dict(variables["params"])
  params["norm1"] = {"scale": np.zeros(9, np.float32)}
  params["norm9"] = {"scale": np.zeros(8, np.float32)}
  with pytest.raises(ValueError) as caught:
    save(tmp_path / "bundle", model, variables | {"params": params})
  assert "params/norm1/bias is missing" in str(caught.value)
  assert "params/norm9/scale is none of the model's" in str(caught.value)
  assert "params/norm1/scale is float32[9]" in str(caught.value)


def test_other_types_than_float32_are_refused(tmp_path, model, variables):
  half = jax.tree.map(lambda leaf: leaf.astype(np.float16), variables)
  with pytest.raises(ValueError, match=r"is float16.*wants float32"):
    save(tmp_path / "bundle", model, half)


def test_labels_must_be_one_a_class(tmp_path, model, variables):
  with pytest.raises(ValueError, match="labels has 2 names"):
    save(tmp_path / "bundle", model, variables, labels=["ant", "bee"])


def test_labels_are_text_and_numbers_of_an_older_file_become_it(
  tmp_path, model, variables
):
  numbers = [*range(model.num_classes)]
  with pytest.raises(ValueError, match=r"labels\[0\]=0 must be text"):
    save(tmp_path / "bundle", model, variables, labels=numbers)
  save(tmp_path / "bundle", model, variables)
  path = tmp_path / "bundle" / "bundle.json"
  path.write_text(
    json.dumps(json.loads(path.read_text()) | {"labels": numbers})
  )
  loaded = bundle_lib.load_bundle(tmp_path / "bundle")
  assert loaded.labels == tuple(map(str, numbers))


def test_folder_that_is_no_bundle_is_named(tmp_path):
  with pytest.raises(ValueError, match="not a bundle"):
    bundle_lib.load_bundle(tmp_path)


def test_a_newer_format_version_is_refused_in_one_line(saved):
  edit(saved, format_version=99)
  with pytest.raises(ValueError, match=r"version 99.*up to 3; ins") as caught:
    bundle_lib.load_bundle(saved)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "changes", [{"format": "other bundle"}, {"format_version": "one"}]
)
def test_another_format_is_refused(saved, changes):
  edit(saved, **changes)
  with pytest.raises(ValueError, match="name a bundle of van_jax"):
    bundle_lib.load_bundle(saved)


def test_a_task_comes_back(tmp_path, model, variables):
  save(tmp_path / "bundle", model, variables, task="regression")
  assert bundle_lib.load_bundle(tmp_path / "bundle").task == "regression"


def test_a_bundle_that_names_no_task_classifies(saved):
  edit(saved, task="", format_version=1)
  assert bundle_lib.load_bundle(saved).task == "classification"


def test_what_could_not_be_made_again_is_not_saved(tmp_path, model, variables):
  class OtherVAN(models.VAN):
    pass

  fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
  with pytest.raises(ValueError, match=r"is a .*OtherVAN"):
    save(tmp_path / "bundle", OtherVAN(**fields), variables)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  "text", ["", "[]", "{", '{"format": "van_jax bundle"}']
)
def test_unreadable_json_is_damage(saved, text):
  (saved / "bundle.json").write_text(text)
  with pytest.raises(ValueError, match=r"damaged: bundle\.json"):
    bundle_lib.load_bundle(saved)


def test_missing_field_is_damage(saved):
  edit(saved, preprocessing="")
  with pytest.raises(ValueError, match="has no preprocessing"):
    bundle_lib.load_bundle(saved)


def test_missing_weights_are_damage(saved):
  (saved / "weights").rename(saved / "elsewhere")
  with pytest.raises(
    ValueError, match=r"damaged: weights/.* (is missing|has changed)"
  ):
    bundle_lib.load_bundle(saved)


def test_truncated_weights_are_damage(saved):
  data = max(saved.rglob("d/*"), key=lambda path: path.stat().st_size)
  data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
  with pytest.raises(
    ValueError, match=r"damaged: weights/.* (is missing|has changed)"
  ):
    bundle_lib.load_bundle(saved)


def test_swapped_weights_are_damage(saved, tmp_path, model, variables):
  other = jax.tree.map(lambda leaf: leaf + 1, variables)
  save(tmp_path / "other", model, other)
  (saved / "weights").rename(tmp_path / "old")
  (tmp_path / "other" / "weights").rename(saved / "weights")
  with pytest.raises(
    ValueError, match=r"damaged: weights/.* (is missing|has changed)"
  ):
    bundle_lib.load_bundle(saved)


def test_bundle_can_be_folded_when_it_is_loaded(tmp_path, model, variables):
  positive = jax.tree.map(np.abs, variables)  # Variances among them.
  save(tmp_path / "bundle", model, positive)
  plain = bundle_lib.load_bundle(tmp_path / "bundle")
  folded = bundle_lib.load_bundle(tmp_path / "bundle", fold_batch_norm=True)
  assert folded.model.folded
  images = jnp.full((1, 32, 32, 3), 0.01)
  np.testing.assert_allclose(
    jax.jit(folded.model.apply)(folded.variables, images),
    jax.jit(plain.model.apply)(plain.variables, images),
    rtol=1e-4,  # Weights of size 1 make the network amplify rounding.
  )


def test_folded_network_is_not_saved(tmp_path, model, variables):
  positive = jax.tree.map(np.abs, variables)
  folded, kernels = models.fold_batch_norm(model, positive)
  with pytest.raises(ValueError, match=r"model\.folded=True"):
    save(tmp_path / "bundle", folded, kernels)
