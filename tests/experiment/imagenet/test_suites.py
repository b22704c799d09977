"""The suites, whole, in miniature: every score against one computed anew."""

import io
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import suite_folders
import tensorflow_datasets as tfds
from suite_folders import IDS

from van_jax import experiment
from van_jax.evaluation.imagenet import corruption
from van_jax.experiment import parts, scoring
from van_jax.experiment.imagenet import score_suites

ALL = np.arange(1000)
BATCH = 40  # Over eight devices.
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
  changes = {f"model.{key}": value for key, value in network}
  return tiny_config(**changes, **{"evaluation.batch_size": BATCH})


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
  assert expected["count"] % BATCH  # The last batch is not full.
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


@pytest.mark.parametrize(
  ("overridden", "image_size", "resize_size"),
  [
    ({}, 32, 32),
    ({"preprocessing.image_size": 36}, 36, 36),
    ({"preprocessing.resize_size": 40}, 32, 40),
    ({"preprocessing.crop_pct": 0.8}, 32, 40),
  ],
)
def test_corruptions_are_resized_only_to_the_networks_size(
  bundle, overridden, image_size, resize_size
):
  own = scoring.overridden_preprocessing(bundle[1].preprocessing, overridden)
  stored = score_suites.as_stored(own, overridden)
  assert (stored.image_size, stored.resize_size) == (image_size, resize_size)


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


@pytest.fixture(scope="module")
def two(run_two, suites, bundle):
  """Returns what two processes say, of one device each: others have eight."""
  return run_two(
    "eval.py",
    f"--checkpoint={bundle[0]}",
    "--suite=real,a",
    f"--suite_directory={suites[0]}",
    "--config.model.num_classes=1000",
  )


def test_the_script_prints_a_table_and_ends_with_one_line(two, scored):
  out, err = two[0]
  result = json.loads(out.splitlines()[-1])
  assert list(result) == ["real", "a"]
  for name, of in result.items():
    for key in {"top1", "top5", "count", "mean_per_class_accuracy"} & set(of):
      assert of[key] == scored[0][name][key]
  table = err.split("Scores:\n")[1].splitlines()
  assert table[0].split() == ["suite", "top-1", "%", "top-5", "%", "images"]
  assert table[1].split()[:4] == [
    "real",
    f"{100 * result['real']['top1']:.2f}",
    f"{100 * result['real']['top5']:.2f}",
    str(result["real"]["count"]),
  ]


def test_two_processes_score_what_one_does(two, scored):
  (first, _), (second, _) = two
  for name, of in json.loads(first.splitlines()[-1]).items():
    # Float32 sums of losses in another order.
    assert of == pytest.approx(scored[0][name], rel=1e-5)
  assert "top1" not in second


def test_validation_images_are_found_in_tfds_too(
  suites, bundle, config, scored, tmp_path
):
  store_validation(suites[0] / "val", tmp_path)
  shutil.copy(suites[0] / "real.json", tmp_path)
  config = config.copy_and_resolve_references()
  config.unlock()
  config.data.update(name="imagenet2012", eval_split="validation")
  config.data.directory = str(tmp_path)
  scores = experiment.evaluate(
    config.lock(), checkpoint=str(bundle[0]), suite="val,real"
  )
  for name, of in scores.items():
    # Float32 sums of losses in another order.
    assert of == pytest.approx(scored[0][name], rel=1e-5)


def store_validation(folder, directory):
  """Writes a folder of class folders as TFDS has ImageNet's validation set."""
  files = sorted(folder.glob("*/*"))
  tfds.dataset_builders.store_as_tfds_dataset(
    name="imagenet2012",
    version="5.1.0",
    features=tfds.features.FeaturesDict(
      {
        "image": tfds.features.Image(encoding_format="png"),
        "label": tfds.features.ClassLabel(names=list(IDS)),
        "file_name": tfds.features.Text(),
      }
    ),
    split_datasets={
      "validation": [
        (
          file.name,
          {
            "image": io.BytesIO(file.read_bytes()),
            "label": file.parent.name,
            "file_name": file.name,
          },
        )
        for file in files
      ]
    },
    data_dir=str(directory),
  )


@pytest.fixture
def refuse(config, bundle, monkeypatch):
  """Returns a function that scores, and gives the error's line."""

  def touch(*arguments, **options):
    raise AssertionError("devices were touched")

  def refuse(changed=config, **arguments):
    monkeypatch.setattr(parts, "start_devices", touch)
    with pytest.raises(ValueError) as info:
      experiment.evaluate(changed, checkpoint=str(bundle[0]), **arguments)
    return str(info.value)

  return refuse


@pytest.fixture
def copy(suites, tmp_path):
  """Returns a function that copies one folder of the suites, to damage it."""

  def copy(folder):
    return pathlib.Path(shutil.copytree(suites[0] / folder, tmp_path / folder))

  return copy


@pytest.mark.parametrize(
  ("suite", "folder"),
  [
    ("a,sketch", "sketch and .*imagenet-sketch"),
    ("a,c", "imagenet-c and .*ImageNet-C"),
    ("a,v2", V2),
    ("a,r", "imagenet-r"),
  ],
)
def test_all_suites_are_looked_for_before_any_is_scored(
  refuse, copy, suite, folder
):
  root = copy("imagenet-a").parent
  message = refuse(suite=suite, suite_directory=str(root))
  assert re.search(f"looked for {root}/{folder}", message)


def test_validation_images_that_are_nowhere(refuse, tmp_path):
  message = refuse(suite="real", suite_directory=str(tmp_path))
  assert f"looked for {tmp_path}/val and {tmp_path}/validation" in message
  assert "split 'test[:42]' of 'digits'" in message


@pytest.mark.parametrize(
  ("suite", "folder", "some_class", "count"),
  [
    ("a", "imagenet-a", IDS[8], "199"),
    ("val", "val", IDS[0], "999"),
    ("v2", V2, "10", "999"),
  ],
)
def test_a_suite_that_lacks_a_class(
  refuse, copy, suite, folder, some_class, count
):
  path = copy(folder)
  shutil.rmtree(path / some_class)
  message = refuse(suite=suite, suite_directory=str(path.parent))
  assert f"holds {count} classes" in message


def test_a_suite_with_a_class_too_many(refuse, copy):
  path = copy("imagenet-a")
  shutil.copytree(path / IDS[3], path / IDS[4])
  message = refuse(suite="a", suite_directory=str(path.parent))
  assert "holds 201 classes, and ImageNet-A has exactly 200" in message


def test_a_corruption_that_lacks_a_severity(refuse, copy):
  path = copy("imagenet-c")
  shutil.rmtree(path / "fog/3")
  message = refuse(suite="c", suite_directory=str(path.parent))
  assert "has no folder fog/3 (1 of 80 missing)" in message


def test_a_severity_that_lacks_an_image(refuse, copy):
  path = copy("imagenet-c")
  lost = next((path / "snow/5").rglob("3.JPEG"))
  lost.unlink()
  message = refuse(suite="c", suite_directory=str(path.parent))
  assert "snow/5 and " in message
  assert f"differ in 1, such as {lost.parent.name}/3.JPEG" in message


def test_validation_images_without_labels_of_reals(refuse, copy):
  root = copy("val").parent
  message = refuse(suite="real", suite_directory=str(root))
  assert f"looked for {root}/real.json and {root}/reassessed" in message


def test_a_network_of_other_classes(refuse, tiny_config, suites):
  message = refuse(tiny_config(), suite="a", suite_directory=str(suites[0]))
  assert "model.num_classes=10 must be 1000" in message


def test_a_folder_of_suites_and_no_suite(refuse, suites):
  message = refuse(suite_directory=str(suites[0]))
  assert "no --suite is named" in message
