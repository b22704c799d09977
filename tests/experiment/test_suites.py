"""The suites, whole, in miniature: every score against one computed anew."""

import json

import numpy as np
import pytest
import suite_folders
from suite_folders import IDS

from van_jax import experiment
from van_jax.evaluation import corruption

ALL = np.arange(1000)
KNOWN = 150  # Images that lie in a class on purpose.
# Any 200; their order is that of the 1000.
CLASSES_OF = {"a": ALL[3::5], "r": ALL[2::5]}
FOLDERS = {
  "val": "val",
  "sketch": "sketch",
  "a": "imagenet-a",
  "r": "imagenet-r",
}
V2 = "imagenetv2-matched-frequency-format-val"
EXTRA = "spatter"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
  """Returns the path of a bundle, and the bundle."""
  path = tmp_path_factory.mktemp("weights") / "bundle"
  return path, suite_folders.save_network(path)


@pytest.fixture(scope="module")
def suites(bundle, tmp_path_factory):
  """Returns the folder with all suites, and their scores, computed anew."""
  root = tmp_path_factory.mktemp("suites")
  pool = suite_folders.make_pool(bundle[1], 1200, suite_folders.STORED)
  expected = {}
  for name, folder in FOLDERS.items():
    classes = CLASSES_OF.get(name, ALL)
    placed = suite_folders.assign(pool, classes, KNOWN)
    written = suite_folders.write(root / folder, pool, placed)
    pairs = [(i, [label]) for i, label in written.values()]
    expected[name] = suite_folders.score(pool, pairs, classes)
    if name == "val":
      real = suite_folders.write_real(root / "real.json", written)
      pairs = [(i, real[file]) for file, (i, _) in written.items()]
      pairs = [pair for pair in pairs if pair[1]]
      expected["real"] = suite_folders.score(pool, pairs, ALL)
  numbers = tuple(str(i) for i in ALL)
  placed = suite_folders.assign(pool, ALL, KNOWN + 1)
  written = suite_folders.write(root / V2, pool, placed, numbers)
  pairs = [(i, [label]) for i, label in written.values()]
  expected["v2"] = suite_folders.score(pool, pairs, ALL)
  expected["c"] = write_corruptions(root / "imagenet-c", bundle[1])
  return root, expected


def write_corruptions(folder, bundle):
  """Writes images of the network's size; returns scores by CORRUPTION/n."""
  pool = suite_folders.make_pool(bundle, 400, suite_folders.SIZE)
  best = pool.logits.argmax(1)
  classes = np.argsort(-np.bincount(best, minlength=1000))[:3]
  scores = {}
  for n, name in enumerate([*corruption.CORRUPTIONS, EXTRA]):
    for severity in range(1, 6):
      pairs = []
      for j in range(7):
        label = classes[j % 3]
        fits = (best == label) == (j >= (n + severity) % 7)
        image = np.flatnonzero(fits)[(5 * n + severity) % fits.sum()]
        at = folder / f"{name}/{severity}" / IDS[label]
        at.mkdir(parents=True, exist_ok=True)
        (at / f"{j}.JPEG").write_bytes(pool.files[image])
        pairs.append((image, [label]))
      scores[f"{name}/{severity}"] = suite_folders.score(pool, pairs, ALL)
  return scores


@pytest.fixture(scope="module")
def config(tiny_config):
  """Returns the config of the network of the tests."""
  network = suite_folders.NETWORK.items()
  return tiny_config(**{f"model.{key}": value for key, value in network})


@pytest.fixture(scope="module")
def scored(suites, bundle, config, tmp_path_factory):
  """Returns all suites' scores on eight devices, and the file with more."""
  output = tmp_path_factory.mktemp("scores") / "all.json"
  scores = experiment.evaluate(
    config,
    checkpoint=str(bundle[0]),
    suite="val,real,v2,a,r,sketch,c",
    suite_directory=str(suites[0]),
    output=str(output),
  )
  return scores, json.loads(output.read_text())


@pytest.mark.parametrize("name", ["val", "real", "v2", "a", "r", "sketch"])
def test_every_image_counts_once_and_right(scored, suites, name):
  expected = suites[1][name]
  assert expected["count"] % 16  # The last batch is not full.
  assert 0.05 < expected["top1"] < expected["top5"] < 0.6
  ours = scored[0][name]
  assert {key: ours[key] for key in expected} == expected


def test_severities_of_all_corruptions_are_scored_as_stored(scored, suites):
  ours = scored[1]["c"]
  for key in ("top1", "top5"):
    by_name = ours[f"{key}_by_severity"]
    flat = {
      f"{n}/{s + 1}": v for n, of in by_name.items() for s, v in enumerate(of)
    }
    assert flat == {n: of[key] for n, of in suites[1]["c"].items()}


def test_mce_is_of_the_15_corruptions(scored, suites):
  errors = [
    sum(1 - suites[1]["c"][f"{name}/{s}"]["top1"] for s in range(1, 6))
    / (5 * alexnet)
    for name, alexnet in corruption.ALEXNET_ERRORS.items()
  ]
  assert len(errors) == 15
  assert scored[0]["c"]["mce"] == pytest.approx(sum(errors) / 15, rel=1e-12)
  assert scored[0]["c"]["count"] == 15 * 5 * 7


def test_classes_are_named_in_the_order_of_their_accuracies(scored, suites):
  ours = scored[1]["r"]
  assert ours["class_names"] == [IDS[i] for i in CLASSES_OF["r"]]
  assert len(ours["per_class_accuracy"]) == 200


def test_a_set_that_is_not_whole_is_said_to_be(scored):
  assert all(not of["complete"] for of in scored[0].values())
