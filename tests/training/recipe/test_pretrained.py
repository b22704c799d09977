"""Fine-tuning's start: which weights are taken over, and which are not."""

import logging
from typing import Any

import numpy as np
import pytest

from van_jax.training.recipe import pretrained


def variables(value, classes=10, width=4, head=True):
  """Returns a tree like a VAN's, filled with one value."""

  def full(*shape):
    return np.full(shape, value, np.float32)

  tree: dict[str, Any] = {
    "params": {"block1_0": {"kernel": full(3, width)}},
    "batch_stats": {"block1_0": {"mean": full(width)}},
  }
  for part in tree.values():
    part["patch_embed1"] = {"norm": full(width)}
  if head:
    tree["params"]["head"] = {
      "kernel": full(width, classes),
      "bias": full(classes),
    }
  return tree


def test_everything_is_taken_when_everything_fits():
  merged = pretrained.merge(variables(0), variables(1))
  np.testing.assert_equal(merged, variables(1))


@pytest.mark.parametrize("old", [variables(1, 7), variables(1, head=False)])
def test_a_head_of_another_class_count_stays_fresh(old):
  merged = pretrained.merge(variables(0), old)
  np.testing.assert_equal(
    merged["params"]["head"], variables(0)["params"]["head"]
  )
  np.testing.assert_equal(merged["params"]["block1_0"]["kernel"], 1)
  np.testing.assert_equal(merged["batch_stats"], variables(1)["batch_stats"])


def test_a_head_is_taken_whole_or_not_at_all():
  old = variables(1)
  old["params"]["head"]["kernel"] = np.ones((4, 7), np.float32)
  merged = pretrained.merge(variables(0), old)
  np.testing.assert_equal(merged["params"]["head"]["bias"], 0)


def test_a_model_without_a_head_takes_none():
  merged = pretrained.merge(variables(0, head=False), variables(1))
  np.testing.assert_equal(merged, variables(1, head=False))


def test_other_misfits_are_listed_with_both_shapes():
  old = variables(1, width=6)
  old["params"]["extra"] = {"bias": np.zeros(2)}
  with pytest.raises(ValueError, match="do not fit") as info:
    pretrained.merge(variables(0), old)
  for line in (
    "batch_stats/block1_0/mean: weights (6,), model (4,)",
    "params/block1_0/kernel: weights (3, 6), model (3, 4)",
    "params/extra/bias: weights (2,), model none",
  ):
    assert line in str(info.value)


def test_a_long_list_of_misfits_is_cut_short():
  old = variables(1)
  old["params"] |= {f"block9_{i}": {"bias": np.zeros(2)} for i in range(20)}
  with pytest.raises(ValueError, match="and 12 more"):
    pretrained.merge(variables(0), old)


def inside(tree, decoder):
  """Returns a model's variables with a VAN's below a prefix."""
  return {
    collection: {"backbone": tree[collection], "decoder": decoder}
    for collection in tree
  }


def test_a_van_within_a_model_is_found_and_the_rest_stays_fresh():
  fresh = inside(variables(0, head=False), np.zeros(3))
  merged = pretrained.merge(fresh, variables(1))
  np.testing.assert_equal(merged, inside(variables(1, head=False), np.zeros(3)))


def segmenter(value, classes=10, decoder_width=3, name="decoder"):
  """Returns variables of a VAN below a prefix, and of a head beside it."""

  def full(*shape):
    return np.full(shape, value, np.float32)

  tree = inside(variables(value, head=False), {})
  for part in tree.values():
    part[name] = part.pop("decoder") | {"bn": {"x": full(decoder_width)}}
  tree["params"][name] |= {
    "conv": {"kernel": full(4, decoder_width)},
    "conv_seg": {"kernel": full(2, classes), "bias": full(classes)},
  }
  return tree


def test_a_head_beside_the_van_is_taken_with_it():
  merged = pretrained.merge(segmenter(0), segmenter(1))
  np.testing.assert_equal(merged, segmenter(1))


def test_of_a_head_the_layer_of_other_classes_alone_stays_fresh(caplog):
  with caplog.at_level(logging.INFO, logger="absl"):
    merged = pretrained.merge(segmenter(0, 7), segmenter(1))
  expected = segmenter(1)
  expected["params"]["decoder"]["conv_seg"] = segmenter(0, 7)["params"][
    "decoder"
  ]["conv_seg"]
  np.testing.assert_equal(merged, expected)
  assert "2 layers are taken; initialised anew: decoder/conv_seg." in (
    caplog.text
  )


def test_a_layer_is_taken_whole_or_not_at_all():
  old = segmenter(1)
  del old["batch_stats"]["decoder"]
  merged = pretrained.merge(segmenter(0), old)
  np.testing.assert_equal(merged["params"]["decoder"]["bn"]["x"], 0)
  np.testing.assert_equal(merged["params"]["decoder"]["conv"]["kernel"], 1)


def test_another_head_stays_fresh(caplog):
  with caplog.at_level(logging.INFO, logger="absl"):
    merged = pretrained.merge(segmenter(0), segmenter(1, name="other"))
  for collection, tree in segmenter(1).items():
    np.testing.assert_equal(merged[collection]["backbone"], tree["backbone"])
    np.testing.assert_equal(
      merged[collection]["decoder"], segmenter(0)[collection]["decoder"]
    )
  assert "The backbone alone is taken" in caplog.text


def test_of_a_segmenter_a_classifier_takes_the_backbone():
  merged = pretrained.merge(variables(0), segmenter(1))
  expected = variables(1)
  expected["params"]["head"] = variables(0)["params"]["head"]
  np.testing.assert_equal(merged, expected)


def test_a_misfit_is_named_by_its_path_in_the_model():
  fresh = inside(variables(0), np.zeros(3))
  with pytest.raises(ValueError, match="params/backbone/block1_0/kernel: wei"):
    pretrained.merge(fresh, variables(1, width=6))


def test_two_vans_are_one_too_many():
  both = {k: {"a": v, "b": v} for k, v in variables(0).items()}
  with pytest.raises(ValueError, match="has 2 VANs, a/, b/"):
    pretrained.merge(both, variables(1))
