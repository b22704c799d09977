"""A bundle carries a segmenter: its heads, colours and whole images."""

import json
import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import bundle as bundle_lib, models
from van_jax.bundle import description
from van_jax.data.images.dense_preprocessing import DensePreprocessing
from van_jax.data.images.preprocessing import Preprocessing

PREPROCESSING = DensePreprocessing(scale=(640, 320), mean=(0.4, 0.5, 0.6))
LABELS = ("wall", "sky", "çar")
COLORS = ((0, 0, 0), (128, 64, 255), (1, 2, 3))


@pytest.fixture(scope="module")
def model():
  van = models.VAN(
    (8, 8, 16, 16),
    (1, 1, 1, 1),
    (2, 2, 1, 1),
    num_classes=0,
    implementation="xla",
  )
  head = {"name": "upernet", "channels": 4, "pool_scales": (1, 2)}
  return models.Segmenter(van, head, {"name": "fcn", "channels": 5}, 3)


@pytest.fixture(scope="module")
def variables(model):
  """Returns weights that differ from a fresh model's in every leaf."""
  return random_like(model)


def random_like(model):
  random = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: np.abs(random.normal(size=leaf.shape)).astype(np.float32),
    models.variable_shapes(model),
  )


def save(path, model, variables, **changes):
  fields = {
    "preprocessing": PREPROCESSING,
    "labels": LABELS,
    "colors": COLORS,
    "source": {"format": "mmsegmentation", "epoch": 3},
  }
  bundle_lib.save_bundle(
    path, model=model, variables=variables, **(fields | changes)
  )


@pytest.fixture(scope="module")
def saved(tmp_path_factory, model, variables):
  """Returns the path of a segmenter's bundle; do not change it."""
  path = tmp_path_factory.mktemp("saved") / "bundle"
  save(path, model, variables)
  return path


def test_all_of_a_segmenter_comes_back(saved, model, variables):
  bundle = bundle_lib.load_bundle(saved, implementation="xla")
  assert bundle.model == model
  jax.tree.map(np.testing.assert_array_equal, bundle.variables, variables)
  assert bundle.preprocessing == PREPROCESSING
  assert bundle.labels == LABELS
  assert bundle.colors == COLORS
  assert bundle.task == "segmentation"
  assert bundle.source == {"format": "mmsegmentation", "epoch": 3}


def test_names_and_colours_may_be_unknown(tmp_path, model, variables):
  save(tmp_path / "b", model, variables, labels=None, colors=None)
  bundle = bundle_lib.load_bundle(tmp_path / "b")
  assert (bundle.labels, bundle.colors) == (None, None)


def test_the_backbone_is_loaded_as_a_van(saved, model, variables):
  bundle = bundle_lib.load_backbone(saved, implementation="xla")
  assert bundle.model == model.backbone
  expected = {name: tree["backbone"] for name, tree in variables.items()}
  jax.tree.map(np.testing.assert_array_equal, bundle.variables, expected)
  assert (bundle.labels, bundle.colors) == (None, None)
  assert bundle.task == "classification"
  assert isinstance(bundle.preprocessing, Preprocessing)
  assert bundle.preprocessing.mean == PREPROCESSING.mean
  changed = bundle_lib.load_backbone(saved, preprocessing={"image_size": 64})
  assert changed.preprocessing.image_size == 64


def test_a_loaded_backbone_can_be_saved(saved, tmp_path):
  bundle = bundle_lib.load_backbone(saved)
  bundle_lib.save_bundle(
    tmp_path / "van",
    model=bundle.model,
    variables=bundle.variables,
    preprocessing=bundle.preprocessing,
    source=bundle.source,
    task=bundle.task,
  )
  again = bundle_lib.load_bundle(tmp_path / "van")
  jax.tree.map(np.testing.assert_array_equal, again.variables, bundle.variables)


def test_programs_before_segmenters_refuse_one_in_a_line(saved, monkeypatch):
  monkeypatch.setattr(description, "FORMAT_VERSION", 2)
  with pytest.raises(ValueError) as caught:
    bundle_lib.load_bundle(saved)
  assert str(caught.value) == (
    f"{saved} is a bundle of format version 3, and this van_jax reads versions "
    "up to 2; install a newer van_jax."
  )


def test_a_vans_bundle_is_what_it_was(tmp_path, model, variables):
  van = {name: tree["backbone"] for name, tree in variables.items()}
  bundle_lib.save_bundle(
    tmp_path / "van",
    model=model.backbone,
    variables=van,
    preprocessing=Preprocessing(),
    source={},
  )
  fields = json.loads((tmp_path / "van" / "bundle.json").read_text())
  assert fields["format_version"] == 2
  assert "colors" not in fields
  assert bundle_lib.load_bundle(tmp_path / "van").colors is None


def test_how_to_run_it_holds_for_the_heads_too(saved):
  bundle = bundle_lib.load_bundle(saved, dtype=jnp.bfloat16)
  assert bundle.model.backbone.dtype == jnp.bfloat16
  folded = bundle_lib.load_bundle(saved, fold_batch_norm=True)
  assert folded.model.backbone.folded
  assert "bn" not in folded.variables["params"]["decode_head"]["bottleneck"]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"num_classes": 4}, r"^num_classes cannot be overridden.*num_classes=3"),
    ({"widths": (8, 8, 16, 8)}, r"^widths cannot be overridden"),
  ],
)
def test_the_architecture_cannot_be_overridden(saved, changes, message):
  with pytest.raises(ValueError, match=message):
    bundle_lib.load_bundle(saved, **changes)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"task": "classification"}, "'classification' is not what a Segmenter"),
    ({"preprocessing": Preprocessing()}, r"has data\.DensePreprocessing"),
    ({"labels": LABELS[:2]}, "labels has 2 names"),
    ({"colors": COLORS[:2]}, "colors has 2 and the model num_classes=3"),
    ({"colors": (*COLORS[:2], (0, 0, 256))}, r"colors\[2\]=\(0, 0, 256\)"),
  ],
)
def test_what_does_not_belong_is_refused(
  tmp_path, model, variables, changes, message
):
  with pytest.raises(ValueError, match=message) as caught:
    save(tmp_path / "b", model, variables, **changes)
  assert "\n" not in str(caught.value)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"task": "segmentation"}, "'segmentation' is not what a VAN does"),
    ({"preprocessing": PREPROCESSING}, r"a VAN has data\.Preprocessing"),
    ({"colors": COLORS}, "colors are of the classes of a Segmenter's masks"),
  ],
)
def test_a_van_has_nothing_of_a_segmenters(
  tmp_path, model, variables, changes, message
):
  van = {name: tree["backbone"] for name, tree in variables.items()}
  fields = {"preprocessing": Preprocessing(), "labels": None, "colors": None}
  with pytest.raises(ValueError, match=message):
    save(tmp_path / "b", model.backbone, van, **(fields | changes))


class LinearHead(nn.Module):
  """A head that van_jax knows nothing of."""

  num_classes: int = 0

  @nn.compact
  def __call__(self, maps, *, train):
    """Maps the stages' [B, Hs, Ws, Cs] to logits, [B, H1, W1, K]."""
    return nn.Dense(self.num_classes)(maps[0])


def test_a_strangers_head_is_handed_over_and_never_imported(tmp_path, model):
  odd = model.clone(head=LinearHead, auxiliary=None)
  save(tmp_path / "b", odd, random_like(odd))
  with pytest.raises(ValueError, match=r"not imported.*head=LinearHead"):
    bundle_lib.load_bundle(tmp_path / "b")
  again = bundle_lib.load_bundle(
    tmp_path / "b", head=LinearHead, implementation="xla"
  )
  assert again.model == odd
  # Nothing of the head is needed for the backbone.
  assert bundle_lib.load_backbone(tmp_path / "b").model.num_classes == 0


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"labels": ["a", "b"]}, "labels has 2 and the model num_classes=3; write"),
    ({"labels": "abc"}, "labels has no list and"),
    ({"labels": ["a", "b", None]}, r"labels\[2\]=None must be text"),
    (
      {"colors": [[0, 0, 0]]},
      "colors has 1 and the model num_classes=3;",
    ),
    ({"colors": [[0, 0, 0], [1, 1], 3]}, r"colors\[1\]=\(1, 1\) must be three"),
  ],
)
def test_what_was_edited_has_one_value_a_class(
  saved, tmp_path, changes, message
):
  shutil.copytree(saved, tmp_path / "b")
  path = tmp_path / "b" / description.NAME
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))
  with pytest.raises(ValueError, match=rf"bundle\.json: {message}") as caught:
    bundle_lib.load_bundle(tmp_path / "b")
  assert "\n" not in str(caught.value)
  assert bundle_lib.load_backbone(tmp_path / "b").labels is None


def test_a_folded_segmenter_is_not_saved(tmp_path, model, variables):
  folded, kernels = models.fold_batch_norm(model, variables)
  with pytest.raises(ValueError, match=r"model\.folded=True"):
    save(tmp_path / "b", folded, kernels)


def test_it_prints_what_it_is(saved):
  text = " ".join(repr(bundle_lib.load_bundle(saved)).split())
  assert "head upernet auxiliary fcn, in training" in text
  assert "classes 3: wall; sky; çar task segmentation" in text
  assert "whole, as fit into 640 x 320, sides multiples of 32" in text
