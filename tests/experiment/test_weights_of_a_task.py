"""Classifiers and segmenters are told apart before any device work."""

import logging
from typing import Any

import jax
import ml_collections
import numpy as np
import pytest
import tiny_masks
from etils import epath
from flax import linen as nn, traverse_util

from van_jax import bundle as bundle_lib, models
from van_jax.bundle import description
from van_jax.data.images.dense_preprocessing import DensePreprocessing
from van_jax.experiment import own_config, scoring, sections, start
from van_jax.training.recipe import pretrained

AUXILIARY = {"name": "fcn", "channels": 2}


@pytest.fixture
def described(tmp_path):
  """Returns a function that makes a bundle of a task, without weights."""

  def describe(task):
    fields = {"architecture": {}, "labels": None, "preprocessing": {}}
    description.write(
      epath.Path(tmp_path),
      {"task": task, **fields, "source": {}, "weights_sha256": {}},
    )
    return str(tmp_path)

  return describe


@pytest.mark.parametrize(
  ("theirs", "ours"),
  [("segmentation", "classification"), ("classification", "segmentation")],
)
def test_weights_for_the_other_task_are_refused(described, theirs, ours):
  checkpoint = described(theirs)
  with pytest.raises(ValueError) as caught:
    scoring.start(
      ml_collections.ConfigDict({"task": {"name": ours}}),
      checkpoint=checkpoint,
      step="latest",
      fold_batch_norm=False,
      overridden={},
      trust_class_order=False,
      distributed=None,
    )
  assert str(caught.value) == (
    f"checkpoint={checkpoint} holds weights for {theirs}, and "
    f"config.task.name={ours}; name the config that belongs to them, or "
    f"weights for {ours}."
  )


def test_a_converted_segmenter_wants_a_config(described):
  with pytest.raises(ValueError, match=r"converted segmenter.*--config=FILE"):
    own_config.read(described("segmentation"))


class Stranger(nn.Module):
  """A head of one's own."""

  num_classes: int
  norm: Any
  remat: bool
  implementation: str
  dtype: Any

  @nn.compact
  def __call__(self, maps, *, train):
    """Maps the last map to logits."""
    return nn.Dense(self.num_classes)(maps[-1])


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
  """Returns the bundle of one with two heads, and its variables."""
  van = models.VAN((8, 8, 16, 16), (1, 1, 1, 1), (2, 2, 2, 2), num_classes=0)
  head = {"name": "fcn", "channels": 4}
  model = models.Segmenter(van, head, AUXILIARY, 3)
  return save(model, tmp_path_factory.mktemp("segmenter"))


def save(model, tmp_path):
  """Saves a bundle of a model in a folder; returns its path and variables."""
  random = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda leaf: random.normal(size=leaf.shape).astype(np.float32),
    models.variable_shapes(model),
  )
  bundle_lib.save_bundle(
    tmp_path / "b",
    model=model,
    variables=variables,
    preprocessing=DensePreprocessing(),
    source={},
  )
  return str(tmp_path / "b"), variables


def test_a_segmenters_backbone_is_fine_tuned(tiny_config, segmenter):
  path, variables = segmenter
  jax.tree.map(
    np.testing.assert_array_equal,
    start.pretrained_variables(tiny_config(pretrained_bundle=path)),
    {name: tree["backbone"] for name, tree in variables.items()},
  )


@pytest.mark.parametrize(
  ("changes", "anew"),
  [
    ({}, ()),
    ({"head": {"name": "fcn", "channels": 4, "dropout_rate": 0.3}}, ()),
    (
      {"num_classes": 5},
      ("decode_head/conv_seg", "auxiliary_head/conv_seg"),
    ),
    ({"head": {"name": "fcn", "channels": 6}}, ("decode_head",)),
    # A map of as many channels.
    ({"head": {"name": "fcn", "channels": 4, "stage": 4}}, ("decode_head",)),
    ({"auxiliary": {"name": None}}, ()),
    (
      {"head": {"name": "fpn"}, "auxiliary": {"name": "fcn", "convs": 2}},
      ("decode_head", "auxiliary_head"),
    ),
    (
      {"head": {"name": f"{__name__}:Stranger"}},
      ("decode_head",),
    ),
  ],
)
def test_a_segmenters_heads_are_fine_tuned_where_they_are_the_same(
  segmenter, changes, anew
):
  path, variables = segmenter
  config = tiny_masks.get_config()
  config.pretrained_bundle = path
  config.model.update({"num_classes": 3, "auxiliary": AUXILIARY})
  config.model.head = {"name": "fcn", "channels": 4}
  with config.unlocked():
    for field, value in changes.items():
      config.model[field] = value
  shapes = models.variable_shapes(sections.build(config, "model"))
  fresh = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
  taken: Any = start.pretrained_variables(config)
  merged = pretrained.merge(fresh, taken)
  flat, theirs, ours = (
    traverse_util.flatten_dict(tree, sep="/")
    for tree in (merged, variables, fresh)
  )
  assert flat.keys() == ours.keys()
  for name, value in flat.items():
    is_anew = name.partition("/")[2].startswith(anew)
    np.testing.assert_array_equal(
      value, ours[name] if is_anew else theirs[name], err_msg=name
    )


@pytest.mark.parametrize("field", ["head", "auxiliary"])
def test_beside_a_strangers_head_the_other_is_taken(tmp_path, caplog, field):
  van = models.VAN((8, 8, 16, 16), (1, 1, 1, 1), (2, 2, 2, 2), num_classes=0)
  heads: Any = {"head": AUXILIARY, "auxiliary": AUXILIARY}
  segmenter = models.Segmenter(van, **{**heads, field: Stranger}, num_classes=3)
  path, variables = save(segmenter, tmp_path)
  config = tiny_masks.get_config()
  config.pretrained_bundle = path
  with config.unlocked():
    if field == "auxiliary":
      heads["auxiliary"] = {"name": None}
    for name, value in {"num_classes": 3, **heads}.items():
      config.model[name] = value
  with caplog.at_level(logging.INFO, logger="absl"):
    taken = start.pretrained_variables(config)
  part = {"head": "decode_head", "auxiliary": "auxiliary_head"}[field]
  expected = {
    collection: {name: x for name, x in tree.items() if name != part}
    for collection, tree in variables.items()
  }
  assert len(expected["params"]) == 2
  jax.tree.map(np.testing.assert_array_equal, taken, expected)
  assert f"model.{field} is " in caplog.text


def test_a_strangers_head_that_nobody_hands_over_is_left_out(tmp_path):
  van = models.VAN((8, 8, 16, 16), (1, 1, 1, 1), (2, 2, 2, 2), num_classes=0)
  path, variables = save(models.Segmenter(van, Stranger, None, 3), tmp_path)
  config = tiny_masks.get_config()
  config.pretrained_bundle = path
  jax.tree.map(
    np.testing.assert_array_equal,
    start.pretrained_variables(config),
    {name: tree["backbone"] for name, tree in variables.items()},
  )
  config.model.num_classes = 3
  config.model.head = {"name": f"{__name__}:Stranger"}
  jax.tree.map(
    np.testing.assert_array_equal, start.pretrained_variables(config), variables
  )
