"""Images with masks go all the way: training, resuming, scoring."""

import json
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pairs_on_disk
import pytest
import tiny_masks
from PIL import Image

import van_jax
from van_jax import data, errors, experiment, models
from van_jax.data.images import normalization
from van_jax.experiment import parts, start

SIZES = [(40, 56), (56, 40), (40, 56), (40, 56)]  # Two shapes.


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
  """Returns a folder of 24 pairs for training, and four of two shapes."""
  folder = tmp_path_factory.mktemp("pairs")
  pairs_on_disk.write(folder, "train", SIZES * 6)
  pairs_on_disk.write(folder, "val", SIZES, first=100)
  return folder


@pytest.fixture(scope="module")
def config_of(pairs):
  """Returns the function that makes the config, with dotted keys changed."""

  def create(**changes):
    config = tiny_masks.get_config()
    config.data.directory = str(pairs)
    config.compilation_cache = ""
    config.update_from_flattened_dict(changes)
    return config.lock()

  return create


@pytest.fixture(scope="module")
def finished(config_of, tmp_path_factory):
  """Returns the workdir and the scores of a run; do not change it."""
  workdir = tmp_path_factory.mktemp("masks") / "run"
  return workdir, experiment.train(config_of(), workdir=str(workdir))


def test_its_scores_are_those_of_pixels(finished):
  _, scores = finished
  assert scores["count"] == len(SIZES)
  assert {"mIoU", "mAcc", "aAcc", "loss"} <= scores.keys()
  assert 0 <= scores["mIoU"] <= 1


def test_its_bundle_is_a_segmenter_with_names_and_colours(finished):
  workdir, scores = finished
  bundle = van_jax.load_bundle(workdir / "bundle")
  assert isinstance(bundle.model, models.Segmenter)
  assert bundle.labels == pairs_on_disk.CLASSES
  assert bundle.colors == tiny_masks.COLORS
  assert bundle.task == "segmentation"
  assert bundle.source["mIoU"] == scores["mIoU"]


def numpys(bundle, pairs, ratios):
  """Returns the mIoU of the pairs, image by image from their files."""
  shown, totals = bundle.preprocessing, np.zeros((4, 4), np.int64)
  apply = jax.jit(bundle.model.apply)

  def resize(x, size):  # Half-pixel centres, as align_corners=False.
    return jax.image.resize(x, (*size, 4), "linear", antialias=False)

  for path in sorted((pairs / "images/val").iterdir()):
    labels = np.asarray(Image.open(pairs / "labels/val" / path.name))
    mean = 0
    for ratio in ratios:
      image = data.preprocess_whole(path, shown, ratio=ratio)
      inputs = normalization.normalize(
        jnp.asarray(image[None]), mean=shown.mean, std=shown.std
      )
      seen = resize(apply(bundle.variables, inputs)[0], image.shape[:2])
      mean += jax.nn.softmax(resize(seen, labels.shape))
    answers, real = np.asarray(mean).argmax(-1), labels != 255
    np.add.at(totals, (labels[real], answers[real]), 1)
  rows, columns = totals.sum(1), totals.sum(0)
  iou = totals.diagonal() / (rows + columns - totals.diagonal())
  return iou.mean()


def test_scores_are_numpys_of_the_bundles_masks(finished, pairs):
  """Whole images one by one, against the sums of batches on eight devices."""
  workdir, scores = finished
  bundle = van_jax.load_bundle(workdir / "bundle")
  # Rounding may turn a tie of two classes, at a pixel or two of 15,000.
  once = numpys(bundle, pairs, (1.0,))
  assert scores["mIoU"] == pytest.approx(once, abs=1e-3)


def test_scores_of_several_ratios_are_numpys_of_resized_files(
  finished, config_of, pairs
):
  path = finished[0] / "bundle"
  ratios = (1.0, 1.25)  # 64 x 64 and 64 x 96; 1.25 times the first: 96 x 96.
  config = config_of(**{"evaluation.ratios": ratios})
  found = experiment.evaluate(config, checkpoint=str(path))
  mean = numpys(van_jax.load_bundle(path), pairs, ratios)
  assert found["mIoU"] == pytest.approx(mean, abs=1e-3)


def test_a_checkpoint_and_the_bundle_score_what_the_run_did(
  finished, config_of
):
  workdir, scores = finished
  for config, checkpoint in (
    (None, workdir),
    (None, workdir / "bundle"),
    (config_of(), workdir / "bundle"),
  ):
    again = experiment.evaluate(config, checkpoint=str(checkpoint))
    # The last digits: another batch, other sums.
    assert again == pytest.approx(scores, rel=1e-5)


def test_it_resumes_bit_for_bit(finished, config_of, tmp_path):
  workdir, scores = finished
  copy = shutil.copytree(workdir, tmp_path / "run")
  for step in (4, 6):
    shutil.rmtree(copy / "checkpoints" / str(step))
  shutil.rmtree(copy / "bundle")
  assert experiment.train(config_of(), workdir=str(copy)) == scores
  one, other = (
    van_jax.load_bundle(folder / "bundle").variables
    for folder in (workdir, copy)
  )
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_views_are_a_setting_of_evaluation(finished, config_of):
  workdir, scores = finished
  config = config_of(**{"evaluation.flip": True})
  mirrored = experiment.evaluate(config, checkpoint=str(workdir / "bundle"))
  assert mirrored["count"] == scores["count"]
  assert mirrored["loss"] != scores["loss"]


def test_a_backbone_comes_from_a_bundle(finished, config_of, tmp_path):
  backbone = van_jax.load_backbone(finished[0] / "bundle")
  path = tmp_path / "backbone"
  van_jax.save_bundle(
    path,
    model=backbone.model,
    variables=backbone.variables,
    preprocessing=backbone.preprocessing,
    source={},
  )
  config = config_of(pretrained_bundle=str(path))
  state = start.first_state(
    config, parts.recipe_of(config, 24), parts.create_mesh(config), None
  )
  jax.tree.map(
    np.testing.assert_array_equal,
    state.params["backbone"],
    backbone.variables["params"],
  )


def test_a_run_does_not_go_on_with_another_head(finished, config_of, tmp_path):
  workdir, _ = finished
  copy = shutil.copytree(workdir, tmp_path / "run")
  path = copy / "config.json"
  fields = json.loads(path.read_text())
  fields["model"]["head"]["channels"] = 16
  path.write_text(json.dumps(fields))
  with pytest.raises(ValueError, match=r"model\.head\.channels is 16 there"):
    experiment.train(config_of(), workdir=str(copy))


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"task.name": "classification"}, r"one of one class an image|one class"),
    ({"model.num_classes": 5}, r"5 must be the 4 classes.* Set it, or "),
    ({"evaluation.ratios": ()}, r"evaluation\.ratios=\(\) "),
    (
      {"pretrained_head_scale": 0.5},
      r"pretrained_head_scale=0\.5 must be 1\.0 beside config\.model\.head",
    ),
    (
      {"task.options.auxiliary_weight": 0.1},
      r"options\.auxiliary_weight=0\.1 needs config\.model\.auxiliary\.name",
    ),
    (
      {"task.options.ohem_threshold": 0.6},
      r"ohem_threshold=0\.6 needs config\.task\.options\.ohem_min_kept",
    ),
    ({"evaluation.window": (32,)}, r"evaluation\.window=\(32,\) "),
    ({"evaluation.window": (64, 16)}, r"window=\(64, 16\) must be at least 32"),
    (
      {"preprocessing.multiple": 8, "preprocessing.scale": (64, 20)},
      r"^preprocessing\.scale=\(64, 20\): .* see 24 x 24, .*multiple=32",
    ),
    (
      {"preprocessing.multiple": 8, "evaluation.ratios": (1.0, 0.3)},
      r"scale=\(64, 64\): .* would see 24 x 24 at the ratio 0\.3",
    ),
    (  # Known by the data alone.
      {"preprocessing.multiple": 1, "preprocessing.scale": (42, 42)},
      r"val/00\.png .* 56 x 40 pixels the network would see 42 x 30",
    ),
    ({"augmentation.image_size": 16}, r"augmentation\.image_size=16 "),
    ({"data.options.masks": "annotations"}, r"annotations/train is no folder"),
  ],
)
def test_what_does_not_fit_is_one_line(config_of, tmp_path, changes, message):
  config = config_of().copy_and_resolve_references().unlock()
  for key, value in changes.items():
    section = config
    *names, last = key.split(".")
    for name in names:
      section = section[name]
    section[last] = value
  with pytest.raises(errors.UserError, match=message):
    experiment.train(config, workdir=str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_preview_has_the_masks_colours_and_the_classes_parts(
  config_of, tmp_path
):
  output = tmp_path / "seen.png"
  found = experiment.draw_preview(config_of(), output=str(output), count=2)
  assert found["count"] == 2
  with Image.open(output) as image:
    assert image.size[0] > 2 * 176


def test_a_split_without_masks_is_predicted_and_not_scored(
  finished, pairs, tmp_path
):
  workdir, _ = finished
  for folder in ("images", "labels"):
    shutil.copytree(pairs / folder / "val", tmp_path / folder / "val")
  shutil.copytree(pairs / "images" / "val", tmp_path / "images" / "test")
  run: dict[str, Any] = {
    "checkpoint": str(workdir),
    "data_directory": str(tmp_path),
  }
  labelled, alone = tmp_path / "labelled", tmp_path / "alone"
  experiment.evaluate(None, split="val", predictions=str(labelled), **run)
  run |= {"split": "test", "unlabelled": True}
  output = tmp_path / "scores.json"
  told = experiment.evaluate(
    None, predictions=str(alone), output=str(output), **run
  )
  assert told == {"count": len(SIZES)}
  assert json.loads(output.read_text())["count"] == len(SIZES)
  masks = [path.name for path in labelled.iterdir()]
  assert len(masks) == len(SIZES)
  for name in masks:
    ours = (alone / name).read_bytes()
    assert ours == (labelled / name).read_bytes()
  with pytest.raises(errors.UserError, match="nothing to score: pass --pred"):
    experiment.evaluate(None, **run)
  run["unlabelled"] = False
  with pytest.raises(
    errors.UserError, match=r"labels/test is no folder.*--unl"
  ):
    experiment.evaluate(None, **run)


def test_nothing_is_learned_of_images_without_masks(config_of, tmp_path):
  config = config_of(**{"data.options.unlabelled": True})
  with pytest.raises(errors.UserError, match="train has no labels, by data"):
    experiment.train(config, workdir=str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()
