"""Weights and data whose classes have names: what is scored, and what not."""

import csv
import functools
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

import van_jax
from van_jax import data, experiment
from van_jax.data.images import preprocessing as preprocessing_lib
from van_jax.data.sources.renumbered import RenumberedSplit
from van_jax.evaluation import answers
from van_jax.experiment import (
  classes,
  own_config,
  running,
  scoring,
  weights,
)
from van_jax.interop.facts import imagenet
from van_jax.training.run import class_names

LABELS = ("dog", "cat", "emu")  # Not in a folder's order.
NETWORK = {
  "num_classes": 3,
  "widths": (8, 8, 16, 16),
  "depths": (1, 1, 1, 1),
  "ffn_ratios": (2, 2, 2, 2),
  "implementation": "xla",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
  """Returns the path of a random classifier of cats, dogs and emus."""
  path = tmp_path_factory.mktemp("weights") / "bundle"
  model = van_jax.create_model("van_b0", **NETWORK)
  init = jax.jit(functools.partial(model.init, train=False))
  variables = jax.device_get(
    init(jax.random.key(3), np.zeros((1, 32, 32, 3), np.float32))
  )
  kernel = variables["params"]["head"]["kernel"]
  variables["params"]["head"]["kernel"] = kernel * 50  # Answers differ.
  van_jax.save_bundle(
    path,
    model=model,
    variables=variables,
    preprocessing=preprocessing_lib.Preprocessing(
      image_size=32, resize_size=36
    ),
    labels=LABELS,
    source={"format": "a test"},
  )
  return path


@pytest.fixture(scope="module")
def images():
  """Returns 18 small images."""
  numbers = np.random.default_rng(1)
  coarse = numbers.integers(0, 256, (18, 3, 3, 3), dtype=np.uint8)
  return [Image.fromarray(pixels).resize((40, 40), 0) for pixels in coarse]


@pytest.fixture
def folder(images, tmp_path):
  """Returns a function that writes a class folder of six each."""

  def write(*names):
    for i, image in enumerate(images[: 6 * len(names)]):
      path = tmp_path / "data" / "val" / names[i // 6] / f"{i:02d}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      image.save(path)
    return str(tmp_path / "data")

  return write


@pytest.fixture
def score(tiny_config, bundle, tmp_path):
  """Returns a function that scores the bundle on a folder: all scores."""
  network = {f"model.{k}": v for k, v in NETWORK.items()}

  def score(directory, **options):
    config = tiny_config(
      **network, **{"data.name": "folder", "data.eval_split": "val"}
    )
    output = tmp_path / "scores.json"
    told = experiment.evaluate(
      config,
      checkpoint=str(bundle),
      data_directory=directory,
      output=str(output),
      **options,
    )
    return told, json.loads(output.read_text())

  return score


@pytest.fixture(scope="module")
def predicted(bundle, images):
  """Returns the labels that `predict` gives the images."""
  found = van_jax.predict(van_jax.load_bundle(bundle), images, top=1)
  return [classes[0].label for classes in found]


def accuracy(predicted, name, first):
  return np.mean([p == name for p in predicted[first : first + 6]])


def test_equal_names_in_another_order_are_mapped_by_name(
  score, folder, predicted
):
  told, full = score(folder("cat", "dog", "emu"))
  by_name = dict(
    zip(full["class_names"], full["per_class_accuracy"], strict=True)
  )
  assert tuple(full["class_names"]) == LABELS
  expected = {
    n: accuracy(predicted, n, 6 * i) for i, n in enumerate(sorted(LABELS))
  }
  assert by_name == pytest.approx(expected)
  assert len(set(predicted)) == 3
  assert told["count"] == 18
  assert "classes" not in told


def test_a_folder_with_some_of_the_classes_is_scored_as_that(
  score, folder, predicted, caplog
):
  caplog.set_level("INFO", logger="absl")
  told, full = score(folder("cat", "emu"))
  assert told["classes"] == full["classes"] == "2 of 3"
  expected = [accuracy(predicted, "cat", 0), accuracy(predicted, "emu", 6)]
  assert full["per_class_accuracy"] == [None, *expected]  # No dog.
  assert told["mean_per_class_accuracy"] == pytest.approx(np.mean(expected))
  assert "2 of the model's 3 classes; absent: dog" in caplog.text
  assert full["images_per_second"] is None or full["images_per_second"] > 0


def test_other_names_are_refused_unless_it_is_said_which_is_which(
  score, folder, tmp_path
):
  directory = folder("emu", "hund", "katze")
  with pytest.raises(ValueError, match="'hund', 'katze' are not among") as info:
    score(directory)
  assert "\n" not in str(info.value)
  (tmp_path / "map.csv").write_text("hund,dog\nkatze,cat\n")
  mapped, _ = score(directory, class_map=str(tmp_path / "map.csv"))
  trusted, _ = score(directory, trust_class_order=True)
  assert mapped["count"] == trusted["count"] == 18
  assert mapped["loss"] != trusted["loss"]
  with pytest.raises(ValueError, match="leave one of the two out"):
    score(
      directory, class_map=str(tmp_path / "map.csv"), trust_class_order=True
    )


def test_the_order_of_another_number_of_classes_is_not_trusted(score, folder):
  with pytest.raises(ValueError, match=r"3 classes and .* has 2, .*class_map"):
    score(folder("hund", "katze"), trust_class_order=True)


def opened(*names):
  split = data.MemorySplit(
    title="a split",
    parts={"image": [b""], "label": np.zeros(1, np.int32)},
    class_names=names,
  )
  return data.Source("any", names, None, split)


def numbers_of(labels, *names):
  source = classes.in_terms_of(labels, len(labels), opened(*names))
  assert isinstance(source.evaluation, RenumberedSplit)
  return source.evaluation.numbers.tolist()


def test_wordnet_ids_are_imagenets_readable_names():
  ids, names = imagenet.wordnet_ids(), list(imagenet.labels())
  some = (ids[517], ids[3], ids[134])
  assert numbers_of(names, *some) == [517, 3, 134]
  names[134] = names[517] = "crane"  # As in other lists of the classes.
  assert numbers_of(names, *some) == [517, 3, 134]
  assert numbers_of(ids, names[3], names[2]) == [3, 2]


def test_wordnet_ids_are_no_names_of_other_thousand_classes():
  names = [f"thing {i}" for i in range(1000)]
  with pytest.raises(ValueError, match="'n01440764' are not among"):
    numbers_of(names, imagenet.wordnet_ids()[0])


@pytest.mark.parametrize("labels", [None, LABELS])
def test_where_a_side_has_no_names_the_numbers_are_compared(labels):
  source = opened() if labels else opened("a", "b", "c")
  if labels:
    with pytest.raises(ValueError, match=r"3 classes and .* has 0"):
      classes.in_terms_of(labels, 3, source)
  else:
    assert classes.in_terms_of(labels, 3, source) is source
    with pytest.raises(ValueError, match=r"has 3, .*keep no class names"):
      classes.in_terms_of(labels, 4, source)


def test_features_cannot_be_scored():
  with pytest.raises(ValueError, match="features, not classes"):
    classes.in_terms_of(None, 0, opened("a"))


def test_predictions_are_those_of_predict_with_their_files(
  score, folder, bundle, images, tmp_path
):
  directory = folder("cat", "dog", "emu")
  files = {
    "predictions": str(tmp_path / "answers" / "p.csv"),
    "confusion_matrix": str(tmp_path / "m.csv"),
  }
  told, _ = score(directory, **files)
  assert told == score(directory)[0]  # To the last bit.
  rows = list(csv.DictReader(open_lines(files["predictions"])))
  assert [r["image"] for r in rows] == [
    f"{directory}/val/{name}/{6 * c + i:02d}.png"
    for c, name in enumerate(sorted(LABELS))
    for i in range(6)
  ]
  expected = van_jax.predict(van_jax.load_bundle(bundle), images)
  for row, (first, second, third) in zip(rows, expected, strict=True):
    assert row["label"] in row["image"]
    names = [row[f"top{n}"] for n in (1, 2, 3)]
    assert names == [first.label, second.label, third.label]
    # Six digits are written; sums in another order.
    assert float(row["probability1"]) == pytest.approx(
      first.probability, rel=1e-4
    )
  head, *lines = csv.reader(open_lines(files["confusion_matrix"]))
  assert head == ["true", *LABELS]
  counts = np.array([line[1:] for line in lines], int)
  assert counts.sum() == 18
  assert np.trace(counts) / 18 == told["top1"]


def open_lines(path):
  with open(path) as file:
    return file.read().splitlines()


def test_images_without_a_file_are_numbered(finished, tiny_config, tmp_path):
  path = tmp_path / "p.csv"
  scores = experiment.evaluate(
    tiny_config(), checkpoint=str(finished[0]), predictions=str(path)
  )
  assert scores == finished[1]
  rows = list(csv.DictReader(open_lines(path)))
  assert [row["image"] for row in rows] == [str(i) for i in range(42)]
  right = [row["label"] == row["top1"] for row in rows]
  assert np.mean(right) == scores["top1"]


def test_a_place_that_cannot_be_written_is_told_before_the_work(
  score, folder, tmp_path, monkeypatch
):
  monkeypatch.setattr(scoring, "start", None)
  (tmp_path / "file").write_text("")
  for flag in ("predictions", "confusion_matrix"):
    with pytest.raises(ValueError, match=f"{flag}=.* cannot be written"):
      score(folder("cat"), **{flag: str(tmp_path / "file" / "x.csv")})


def test_a_suite_has_no_predictions(score, folder):
  with pytest.raises(ValueError, match=r"predictions=p\.csv is for a split"):
    score(folder("cat"), suite="val", predictions="p.csv")


def test_suites_refuse_weights_of_other_thousand_classes():
  from van_jax.experiment.imagenet import score_suites

  score_suites._check_labels(imagenet.labels())
  score_suites._check_labels(None)
  with pytest.raises(ValueError, match="not ImageNet-1k's 1000"):
    score_suites._check_labels([f"thing {i}" for i in range(1000)])


def test_a_workdir_keeps_the_names_of_its_classes(finished):
  workdir, _ = finished
  assert class_names.read(workdir) == tuple("0123456789")
  bundle = weights.load_weights(workdir, step="8")
  assert bundle.labels == tuple("0123456789")
  pixels = np.zeros((32, 32, 3), np.uint8)
  assert van_jax.predict(bundle, pixels)[0].label in "0123456789"


def test_a_workdir_without_names_is_scored_as_before(
  finished, run_copy, tiny_config
):
  (run_copy / class_names.FILE).unlink()
  assert weights.load_weights(run_copy).labels is None
  again = experiment.evaluate(tiny_config(), checkpoint=str(run_copy))
  assert again == finished[1]


def test_a_run_does_not_go_on_with_other_classes(run_copy, tiny_config):
  class_names.write(run_copy, [*"012345678", "nine"])
  with pytest.raises(ValueError, match="class 9 is 'nine' there, '9' here"):
    experiment.train(tiny_config(), workdir=str(run_copy))


def test_damaged_names_are_told(run_copy):
  (run_copy / class_names.FILE).write_text('{"a": 1}')
  with pytest.raises(ValueError, match=r"class_names\.json is damaged"):
    weights.load_weights(run_copy)


@pytest.mark.parametrize("what", [".", "bundle"])
def test_a_workdir_and_its_bundle_need_no_config(finished, what):
  workdir, scores = finished
  assert experiment.evaluate(checkpoint=str(workdir / what)) == scores


def test_flags_say_where_data_lies_and_what_is_scored(finished, tmp_path):
  workdir, _ = finished
  with pytest.raises(ValueError, match="--data_directory and --split change"):
    experiment.evaluate(
      checkpoint=str(workdir), data_name="folder", data_directory=str(tmp_path)
    )
  other = experiment.evaluate(
    checkpoint=str(workdir), split="test[42:60]", batch_size=9
  )
  assert other["count"] == 18  # Nine on eight devices are rounded up.


def test_converted_weights_need_the_data_alone(
  bundle, folder, score, monkeypatch
):
  monkeypatch.setattr(own_config, "_CACHE", "")
  with pytest.raises(ValueError, match="pass --data_directory=DIR"):
    experiment.evaluate(checkpoint=str(bundle))
  directory = folder("cat", "dog", "emu")
  monkeypatch.setattr(own_config, "_IMPLEMENTATION", "xla")
  told = experiment.evaluate(checkpoint=str(bundle), data_directory=directory)
  with_config, _ = score(directory)
  assert told.pop("loss") == pytest.approx(with_config.pop("loss"), rel=1e-5)
  assert told == with_config


def test_nothing_is_imported_because_a_workdir_says_so(run_copy):
  path = run_copy / "config.json"
  config = json.loads(path.read_text())
  config["data"]["name"] = "os:getcwd"
  path.write_text(json.dumps(config))
  with pytest.raises(ValueError, match=r"data\.name='os:getcwd', which is not"):
    experiment.evaluate(checkpoint=str(run_copy))


def test_two_processes_number_their_images_once():
  batch = {"mask": np.ones(4, bool)}
  first = list(answers.numbered([batch, batch], 0))
  second = list(answers.numbered([batch, batch], 8))
  numbers = [b["index"] for b in (*first, *second)]
  np.testing.assert_array_equal(np.concatenate(numbers), np.arange(16))


def test_training_goes_on_without_a_class_in_its_validation(
  folder, tiny_config, tmp_path, monkeypatch, caplog
):
  caplog.set_level("INFO", logger="absl")
  monkeypatch.setattr(running, "run", lambda *arguments: {})
  root = pathlib.Path(folder("cat", "dog", "emu"))
  shutil.copytree(root / "val", root / "train")
  shutil.rmtree(root / "val" / "cat")
  config = tiny_config(
    **{
      "model.num_classes": 3,
      "data.name": "folder",
      "data.directory": str(root),
      "data.train_split": "train",
      "data.eval_split": "val",
    }
  )
  experiment.train(config, workdir=str(tmp_path / "run"))
  assert "2 of the model's 3 classes; absent: cat" in caplog.text
  assert class_names.read(tmp_path / "run") == ("cat", "dog", "emu")


def test_crop_pct_is_a_key_of_the_config(finished, tiny_config):
  workdir, scores = finished
  smaller = experiment.evaluate(
    tiny_config(),
    checkpoint=str(workdir / "bundle"),
    overridden={"preprocessing.crop_pct": 32 / 48},
  )
  same = experiment.evaluate(
    tiny_config(**{"preprocessing.crop_pct": 0.5}),
    checkpoint=str(workdir / "bundle"),
    overridden={"preprocessing.resize_size": 48},
  )
  assert smaller == same != scores
