"""Classifiers and segmenters are told apart before any device work."""

import jax
import ml_collections
import numpy as np
import pytest
from etils import epath

from van_jax import bundle as bundle_lib, models
from van_jax.bundle import description
from van_jax.data.images.dense_preprocessing import DensePreprocessing
from van_jax.experiment import own_config, scoring, start


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


def test_a_segmenters_backbone_is_fine_tuned(tiny_config, tmp_path):
  van = models.VAN((8, 8, 16, 16), (1, 1, 1, 1), (2, 2, 2, 2), num_classes=0)
  model = models.Segmenter(van, {"name": "fcn", "channels": 4}, None, 3)
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
  config = tiny_config(pretrained_bundle=str(tmp_path / "b"))
  jax.tree.map(
    np.testing.assert_array_equal,
    start.pretrained_variables(config),
    {name: tree["backbone"] for name, tree in variables.items()},
  )
