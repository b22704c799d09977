"""What one meets in a notebook: names, tables, features in a line."""

import functools
import inspect
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.linen import summary

import van_jax
from van_jax import data, errors, models
from van_jax.training.recipe import pretrained

SHOWN = data.Preprocessing(image_size=32, resize_size=36)


@pytest.fixture(scope="module")
def model():
  return van_jax.create_model(
    "van_b0",
    num_classes=3,
    widths=(8, 8, 16, 16),
    depths=(1, 1, 1, 1),
    ffn_ratios=(2, 2, 2, 2),
    implementation="xla",
  )


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
  """Returns the path of a bundle of weights that differ in every leaf."""
  path = tmp_path_factory.mktemp("weights") / "bundle"
  numbers = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda leaf: numbers.uniform(0.1, 1, leaf.shape).astype(np.float32),
    models.variable_shapes(model),
  )
  van_jax.save_bundle(
    path,
    model=model,
    variables=variables,
    preprocessing=SHOWN,
    labels=("ant", "bee\nwith a line", "c" * 500),
    source={"format": "official", "config": {"much": "x" * 10_000}},
  )
  return path


@pytest.fixture(scope="module")
def images():
  numbers = np.random.default_rng(1)
  return jnp.asarray(numbers.normal(size=(2, 32, 32, 3)).astype(np.float32))


def test_a_bundle_shows_itself_in_a_few_lines(saved):
  bundle = van_jax.load_bundle(saved)
  lines = repr(bundle).splitlines()
  assert len(lines) < 12
  assert max(map(len, lines)) <= 160
  leaves = jax.tree.leaves(bundle.variables["params"])
  text = repr(bundle)
  assert f"{sum(leaf.size for leaf in leaves):,}" in text
  for part in ("3: ant; bee with a line; ccc", "32 x 32", "to 36", "official"):
    assert part in text


def test_a_published_variant_is_shown_by_its_name(saved):
  bundle = van_jax.load_bundle(saved)
  b2 = van_jax.Bundle(
    van_jax.create_model("van_b2"), {}, bundle.preprocessing, None, {}
  )
  assert "van_b2" in repr(b2)
  assert "1000, without names" in repr(b2)


def test_help_lists_every_public_name_with_its_purpose():
  text = inspect.getdoc(van_jax) or ""
  for name in van_jax.__all__:
    assert f"\n  {name}: " in text, name


def test_help_of_the_package_is_of_its_public_names():
  import pydoc

  text = pydoc.plain(pydoc.render_doc(van_jax))
  for name in van_jax.__all__:
    assert f" {name}(" in text, name


@pytest.mark.parametrize("remat", [False, True])
def test_tabulate_has_rows_of_modules_alone_and_counts_flops(model, remat):
  make_table = summary._get_module_table(
    model.clone(remat=remat),
    depth=None,
    show_repeated=False,
    compute_flops=True,
    compute_vjp_flops=False,
  )
  rows = make_table(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
  assert all(row.flops >= 0 for row in rows)
  assert {row.method for row in rows} == {"__call__"}
  paths = ["/".join(row.path) for row in rows]
  assert len(paths) == len(set(paths))
  top = {row.path[0]: row.flops for row in rows if len(row.path) == 1}
  assert {"patch_embed1", "block1_0", "norm4", "head"} <= set(top)
  assert rows[0].flops == pytest.approx(sum(top.values()), rel=0.01)
  assert "flops" in nn.tabulate(
    model, jax.random.key(0), compute_flops=True, depth=1
  )(jnp.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize("fold", [False, True])
def test_a_backbone_gives_the_classifiers_features(saved, images, fold):
  whole = van_jax.load_bundle(saved)
  backbone = van_jax.load_backbone(saved, fold_batch_norm=fold)
  assert backbone.model.num_classes == 0
  assert backbone.labels is None
  assert "head" not in backbone.variables["params"]
  model: Any = backbone.model  # Type checkers think that it returns a pair.
  features = functools.partial(model.apply, method="features")
  maps = jax.eval_shape(features, backbone.variables, images)
  assert [m.shape[1] for m in maps] == [8, 4, 2, 1]
  pooled = np.asarray(jax.jit(model.apply)(backbone.variables, images))
  head = jax.tree.map(np.asarray, whole.variables["params"]["head"])
  classifier: Any = whole.model
  logits = jax.jit(classifier.apply)(whole.variables, images)
  np.testing.assert_allclose(  # Folding rounds.
    pooled @ head["kernel"] + head["bias"], logits, rtol=1e-3, atol=1e-4
  )


def test_no_classes_may_be_asked_for_and_no_other_number(saved):
  found = van_jax.load_bundle(saved, num_classes=0)
  assert "head" not in found.variables["params"]
  with pytest.raises(
    errors.UserError, match="num_classes cannot be overridden"
  ):
    van_jax.load_bundle(saved, num_classes=2)


def test_a_backbone_can_be_saved_and_fine_tuned_from(saved, model, tmp_path):
  backbone = van_jax.load_backbone(saved)
  van_jax.save_bundle(
    tmp_path / "b",
    model=backbone.model,
    variables=backbone.variables,
    preprocessing=backbone.preprocessing,
    source=backbone.source,
  )
  again = van_jax.load_backbone(tmp_path / "b")
  pretrained.check(models.variable_shapes(model), again.variables)


def test_loading_a_workdir_names_its_bundle(saved, tmp_path):
  (tmp_path / "bundle").symlink_to(saved)
  with pytest.raises(ValueError, match=f"name {tmp_path}/bundle, which is one"):
    van_jax.load_bundle(tmp_path)


def test_loading_an_unfinished_workdir_says_what_reads_it(tmp_path):
  (tmp_path / "checkpoints").mkdir()
  with pytest.raises(ValueError, match=r"not ended, .*\.load_weights"):
    van_jax.load_bundle(tmp_path)


# timm 0.4.12 and 1.0: int(math.floor(size / crop_pct)).
@pytest.mark.parametrize(
  ("size", "crop_pct", "resized"),
  [(224, 0.9, 248), (224, 0.875, 256), (288, 0.95, 303), (384, 1, 384)],
)
def test_crop_pct_works_as_in_timm(size, crop_pct, resized):
  shown = data.Preprocessing(image_size=size, crop_pct=crop_pct)
  assert shown.resize_size == resized
  assert "crop_pct" not in shown.to_json()
  assert data.Preprocessing.from_json(shown.to_json()) == shown
  assert shown == SHOWN.replace(image_size=size, crop_pct=crop_pct)


@pytest.mark.parametrize("crop_pct", [0, 1.1, "0.9", float("nan"), True])
def test_a_crop_pct_that_is_no_part_is_refused(crop_pct):
  with pytest.raises(ValueError, match="above 0 and at most 1"):
    data.Preprocessing(crop_pct=crop_pct)


def test_crop_pct_and_resize_size_contradict_each_other():
  with pytest.raises(ValueError, match=r"crop_pct=0\.9 and resize_size=40"):
    SHOWN.replace(crop_pct=0.9, resize_size=40)


def test_loading_may_change_the_preprocessing(saved):
  bundle = van_jax.load_bundle(saved, preprocessing={"crop_pct": 1.0})
  assert bundle.preprocessing.resize_size == 32
  with pytest.raises(ValueError, match=r"preprocessing\.size is none of"):
    van_jax.load_bundle(saved, preprocessing={"size": 1})
