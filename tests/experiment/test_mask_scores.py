"""What eval.py writes of a segmenter: masks for servers, and a matrix."""

import json
import types
from typing import Any

import jax
import numpy as np
import pairs_on_disk
import pytest
from PIL import Image

import van_jax
from configs import segmentation
from van_jax import errors, experiment, models
from van_jax.data import DensePreprocessing
from van_jax.experiment import classes, examining, scoring, sections

SIZES = [(40, 60), (45, 45), (40, 56), (30, 130)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """Returns a folder of pairs, numbered from 1 on, and a segmenter's bundle."""
  folder = tmp_path_factory.mktemp("segmenter")
  masks = pairs_on_disk.write(folder, "val", SIZES)
  for i, mask in enumerate(masks):  # As ADE20K's: 0 is void.
    numbers = np.where(mask == 255, 0, mask + 1).astype(np.uint8)
    Image.fromarray(numbers).save(folder / f"labels/val/{i:02d}.png")
  for kind in ("images", "labels"):
    (folder / kind / "val/city").mkdir()
    path = folder / kind / "val/03.png"
    path.rename(folder / kind / "val/city/03.png")
  model = sections.build(config_of(folder), "model")
  random = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda leaf: random.normal(size=leaf.shape).astype(np.float32),
    models.variable_shapes(model),
  )
  variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
  van_jax.save_bundle(
    folder / "bundle",
    model=model,
    variables=variables,
    preprocessing=DensePreprocessing(scale=(64, 48)),
    labels=pairs_on_disk.CLASSES,
    source={},
  )
  return folder


def config_of(folder, **changes):
  """Returns the config to score by."""
  config = segmentation.get_config()
  config.compilation_cache = ""
  config.model.num_classes = len(pairs_on_disk.CLASSES)
  config.model.widths = (4,) * 4
  config.model.depths = (1,) * 4
  config.model.ffn_ratios = (1,) * 4
  config.model.implementation = "xla"
  config.model.head = {"name": "fcn", "channels": 4}
  config.data.directory = str(folder)
  config.data.options.class_names = pairs_on_disk.CLASSES
  config.data.options.reduce_zero_label = True
  config.evaluation.batch_size = 8
  with config.unlocked():
    config.update_from_flattened_dict(changes)
  return config.lock()


@pytest.fixture(scope="module")
def written(place, tmp_path_factory):
  """Returns the folder with all files of an evaluation, and its scores."""
  out = tmp_path_factory.mktemp("out")
  scores = experiment.evaluate(
    config_of(place),
    checkpoint=str(place / "bundle"),
    predictions=str(out / "masks"),
    confusion_matrix=str(out / "m.npy"),
    output=str(out / "scores.json"),
  )
  return out, scores


NAMES = ("00", "01", "02", "city/03")


def test_a_png_an_image_has_the_numbers_of_the_data(place, written):
  folder = written[0] / "masks"
  found = {p.relative_to(folder).as_posix() for p in folder.rglob("*.png")}
  assert found == {f"{name}.png" for name in NAMES}
  bundle = van_jax.load_bundle(place / "bundle")
  paths = [place / f"images/val/{name}.png" for name in NAMES]
  masks = van_jax.predict(bundle, paths)
  for name, mask, size in zip(NAMES, masks, SIZES, strict=True):
    with Image.open(folder / f"{name}.png") as image:
      assert image.mode == "L"
      numbers = np.asarray(image)
    assert numbers.shape == size
    # Rounding of sums in another order may turn a tie.
    assert np.mean(numbers == mask + 1) > 0.999


def test_the_matrix_and_the_scores_are_of_those_masks(place, written):
  out, scores = written
  counts = np.zeros((4, 4), int)
  for name in NAMES:
    answer, true = (
      np.asarray(Image.open(path)).astype(int) - 1
      for path in (out / f"masks/{name}.png", place / f"labels/val/{name}.png")
    )
    np.add.at(counts, (true[true >= 0], answer[true >= 0]), 1)
  np.testing.assert_array_equal(np.load(out / "m.npy"), counts)
  assert scores["aAcc"] == np.trace(counts) / counts.sum()
  kept = json.loads((out / "scores.json").read_text())
  assert kept["class_names"] == list(pairs_on_disk.CLASSES)
  assert len(kept["per_class_IoU"]) == 4
  assert kept["mIoU"] == scores["mIoU"]
  assert kept["images_per_second"] is None  # Each shape waits to be compiled.


@pytest.mark.parametrize(
  ("files", "message"),
  [
    ({"predictions": "labels"}, "predictions=.* must be a new or an empty"),
    ({"predictions": "p.csv"}, "masks are a file an image"),
    ({"confusion_matrix": "m.txt"}, r"must end with \.csv or \.npy"),
  ],
)
def test_where_they_cannot_be_written_is_told_before_the_work(
  place, files, message, monkeypatch
):
  monkeypatch.setattr(scoring, "start", None)
  given: Any = {name: str(place / path) for name, path in files.items()}
  with pytest.raises(errors.UserError, match=message):
    experiment.evaluate(
      config_of(place), checkpoint=str(place / "bundle"), **given
    )


def test_masks_are_not_renumbered_by_names(place):
  names = pairs_on_disk.CLASSES[::-1]
  with pytest.raises(errors.UserError, match="other classes than these weig"):
    experiment.evaluate(
      config_of(place, **{"data.options.class_names": names}),
      checkpoint=str(place / "bundle"),
    )


@pytest.mark.parametrize(
  ("labels", "names", "trust", "message"),
  [
    (
      ("sky", "road", "car", "bush"),
      pairs_on_disk.CLASSES,
      False,
      r"'tree' .*data\.options\.class_names, or pass --trust_class_order",
    ),
    (
      ("sky", "road", "car", "bush", "sea"),
      pairs_on_disk.CLASSES,
      False,
      r"'tree' .*; list all 5 in the weights' order, .*by data\.options\.c",
    ),
    (
      (*pairs_on_disk.CLASSES, "sea"),
      pairs_on_disk.CLASSES,
      False,
      r"5 classes and .*val has 4, .* list all 5 in the weights' order",
    ),
    (("sky", "road"), pairs_on_disk.CLASSES, False, "take weights that have"),
    (None, (*NAMES, "sea"), False, r"4 classes .* has 5, .*: take weights"),
    (None, ("a", "b"), False, r"4 classes and .*val has 2, .* list all 4 in"),
    (("a", "b", "c", "d"), ("a", "b"), True, r"has 2, .* list all 4 in"),
  ],
)
def test_what_masks_refuse_is_not_advised(place, labels, names, trust, message):
  source = pairs_on_disk.open_pairs(place, None, "val", class_names=names)
  with pytest.raises(errors.UserError, match=message) as caught:
    classes.in_terms_of(labels, len(labels or NAMES), source, trust_order=trust)
  assert "class_map" not in str(caught.value)


def test_a_report_says_that_answers_are_masks(place, tmp_path):
  kept = json.dumps(config_of(place).to_dict())
  (tmp_path / "config.json").write_text(kept)
  run: Any = types.SimpleNamespace(
    name="run", workdir=str(tmp_path), saved=[8], bundle=None, class_names=None
  )
  found = examining.examine(run, examining.Request(images=2))
  assert found.missing == (
    "Not scored: its answers are masks, which python -m van_jax.analysis.masks "
    "draws."
  )
