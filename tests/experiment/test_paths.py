"""Every path that a user can give: "~" is the home folder, nothing else is."""

import dataclasses
import os
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
import published_files as published
import pytest
from PIL import Image

import van_jax
from van_jax import data, experiment, places
from van_jax.data import prepare
from van_jax.data.sources import tfds_folders
from van_jax.experiment import (
  misfits,
  parts,
  preview,
  running,
  score_files,
  scoring,
  start,
)
from van_jax.experiment.imagenet import suite_data
from van_jax.interop import convert as conversion
from van_jax.training.run import workdir as workdir_lib

SMALL: Any = {"image_size": 32, "resize_size": 36}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  """Returns a folder with weights, a bundle of them, labels and an image."""
  folder = tmp_path_factory.mktemp("weights")
  published.write_official(folder / "w.pth", published.official())
  conversion.convert(
    input=folder / "w.pth", output=folder / "bundle", preprocessing=SMALL
  )
  (folder / "labels.txt").write_text("a\nb\nc\nd\ne\nf\ng\n")
  for split in ("train", "val"):
    (folder / "images" / split / "ant").mkdir(parents=True)
    image = Image.new("RGB", (40, 40), (1, 2, 3))
    image.save(folder / "images" / split / "ant" / "0.png")
  return folder


@pytest.fixture
def home(weights, tmp_path, monkeypatch):
  """Returns the home folder; the user stands in another one, and stays clean.

  What `weights` returns is `~/given`.
  """
  home, here = tmp_path / "home", tmp_path / "here"
  home.mkdir()
  here.mkdir()
  (home / "given").symlink_to(weights)
  monkeypatch.setenv("HOME", str(home))
  monkeypatch.chdir(here)
  yield home
  assert os.listdir(here) == []


def convert(home):
  result = conversion.convert(
    input="~/given/w.pth", labels="~/given/labels.txt", output="~/new"
  )
  assert result["output"] == str(home / "new")
  assert van_jax.load_bundle(home / "new").labels == tuple("abcdefg")


def convert_path_object(home):
  output = pathlib.Path("~/new")
  conversion.convert(input=pathlib.Path("~/given/w.pth"), output=output)
  assert (home / "new" / "bundle.json").is_file()


def convert_back_to_a_file(home):
  result = conversion.convert_back(
    input="~/given/bundle", output="~/new.pth", to="official"
  )
  assert result["output"] == str(home / "new.pth")
  assert (home / "new.pth").is_file()


def convert_back_to_a_folder(home):
  conversion.convert_back(
    input="~/given/bundle", output="~/new", to="huggingface"
  )
  assert (home / "new" / "config.json").is_file()


def weights_alone(home):
  assert conversion.read_weights("~/given/w.pth").model.num_classes == 7


def verification_images(home):
  found = conversion.photographs.read("~/given/images")
  assert sorted(found) == ["train/ant/0.png", "val/ant/0.png"]


def save_bundle(home):
  bundle = van_jax.load_bundle("~/given/bundle")
  fields = [f.name for f in dataclasses.fields(bundle)]
  van_jax.save_bundle("~/new", **{f: getattr(bundle, f) for f in fields})
  assert (home / "new" / "bundle.json").is_file()


def load_weights(home):
  assert experiment.load_weights("~/given/bundle").model.num_classes == 7


def images_to_predict(home):
  image = "~/given/images/val/ant/0.png"
  settings = data.Preprocessing(**SMALL)
  with Image.open(os.path.expanduser(image)) as opened:
    expected = data.preprocess_image(opened, settings)
  for path in (image, pathlib.Path(image)):
    np.testing.assert_array_equal(
      data.preprocess_image(path, settings), expected
    )


def evaluation_output(home):
  places.check_file("~/new/scores.json", "output")
  scoring.write("~/new/scores.json", {"top1": 1.0})
  assert (home / "new" / "scores.json").is_file()


def prepared_data(home, monkeypatch):
  folders = []

  class Builder:
    """Stands for a TFDS data set that is there."""

    def is_prepared(self):
      return True

  def builder(name, directory):
    folders.append(directory)
    return Builder()

  monkeypatch.setattr(tfds_folders, "_builder", builder)
  prepare.main(["digits", "--directory=~/new"])
  assert folders == [str(home / "new")]


def folder_data(home):
  source = data.open_source(
    name="folder", directory="~/given/images", eval_split="val"
  )
  assert source.class_names == ("ant",)


def strangers_data(home, monkeypatch):
  given = []

  def opener(directory):
    given.append(directory)
    return lambda split: data.MemorySplit(title=split, parts={"image": [b""]})

  monkeypatch.setattr(prepare, "opener", opener, raising=False)
  data.open_source(name="van_jax.data.prepare:opener", directory="~/given")
  assert given == [str(home / "given")]


@pytest.mark.parametrize(
  "use",
  [
    convert,
    convert_path_object,
    convert_back_to_a_file,
    convert_back_to_a_folder,
    weights_alone,
    verification_images,
    save_bundle,
    load_weights,
    images_to_predict,
    evaluation_output,
    folder_data,
  ],
)
def test_home_is_filled_in_for(home, use):
  use(home)


@pytest.mark.parametrize("use", [prepared_data, strangers_data])
def test_home_is_filled_in_for_what_is_handed_on(home, monkeypatch, use):
  use(home, monkeypatch)


def test_home_is_filled_in_for_a_workdir(home, tiny_config, monkeypatch):
  monkeypatch.setattr(running, "run", lambda *arguments: {})
  experiment.train(tiny_config(), workdir="~/run")
  assert (home / "run" / workdir_lib.CONFIG).is_file()


def test_home_is_filled_in_for_a_pretrained_bundle(home, tiny_config):
  config = tiny_config(pretrained_bundle="~/given/bundle")
  with pytest.raises(
    ValueError, match=r"pretrained_bundle=.*weights do not fit the model"
  ):
    start.pretrained_variables(config)


def test_home_is_filled_in_for_suites(home, tiny_config):
  with pytest.raises(ValueError, match=f"looked for {home}/suites/"):
    suite_data.open_suites(("a",), "~/suites", tiny_config())


def test_home_is_filled_in_for_a_preview(home, tiny_config, monkeypatch):
  drawn = np.zeros((2, 32, 32, 3), np.uint8), np.full((2, 10), 0.1)
  monkeypatch.setattr(preview, "_prepared", lambda *arguments: drawn)
  result = experiment.draw_preview(tiny_config(), output="~/x.png", count=2)
  assert result["output"] == str(home / "x.png")
  assert (home / "x.png").is_file()


def test_home_is_filled_in_for_the_compilation_cache(home, monkeypatch):
  kept = {}
  monkeypatch.setattr(jax.config, "update", kept.__setitem__)
  parts._keep_compiled("~/cache")
  assert kept == {"jax_compilation_cache_dir": str(home / "cache")}


def test_without_a_home_nothing_compiled_is_kept(home, monkeypatch, caplog):
  monkeypatch.setattr(os.path, "expanduser", lambda path: path)
  parts._keep_compiled("~/cache")
  assert "Nothing compiled is kept" in caplog.text


@pytest.fixture
def no_folder(tmp_path):
  """Returns a path that nothing can be written at: below a file."""
  (tmp_path / "file").write_text("")
  return str(tmp_path / "file" / "new")


@pytest.mark.parametrize(
  ("function", "options"),
  [
    (conversion.convert, {"input": "no such file"}),
    (conversion.convert_back, {"input": "~/given/bundle", "to": "official"}),
    (conversion.convert_back, {"input": "~/given/bundle", "to": "huggingface"}),
  ],
)
@pytest.mark.usefixtures("home")
def test_a_conversion_that_cannot_be_written_names_the_flag(
  no_folder, function, options
):
  message = f"^output={no_folder} cannot be written: .*file is not a folder"
  with pytest.raises(ValueError, match=message):
    function(output=no_folder, **options)


@pytest.mark.parametrize(
  ("flag", "ending"),
  [("output", ""), ("predictions", "/x.csv"), ("confusion_matrix", "/x.npy")],
)
def test_scores_that_cannot_be_written_name_the_flag(no_folder, flag, ending):
  given = dict.fromkeys(("output", "predictions", "confusion_matrix"))
  files = score_files.ScoreFiles(**given | {flag: f"{no_folder}{ending}"})
  with pytest.raises(ValueError, match=f"^{flag}={no_folder}{ending} cannot"):
    check_all(files)


def check_all(files):
  files.check()
  files.check_predictions(has_masks=False)


@pytest.mark.parametrize(
  ("flag", "name", "rule"),
  [
    ("predictions", "answers.json", r"must end with \.csv"),
    ("confusion_matrix", "matrix.xlsx", r"must end with \.csv or \.npy"),
  ],
)
def test_answers_in_a_file_of_no_known_kind_are_refused(flag, name, rule):
  given = dict.fromkeys(("output", "predictions", "confusion_matrix"))
  with pytest.raises(ValueError, match=f"^{flag}={name} {rule}"):
    check_all(score_files.ScoreFiles(**given | {flag: name}))


def test_a_workdir_that_cannot_be_written_names_the_flag(
  no_folder, tiny_config
):
  with pytest.raises(ValueError, match=f"^workdir={no_folder} cannot be"):
    experiment.train(tiny_config(), workdir=no_folder)


@pytest.mark.parametrize("place", ["", "train", "val/cat"])
def test_a_folder_of_the_data_is_no_workdir(tmp_path, place):
  splits = {"train_split": "train[:90%]", "eval_split": "val"}
  config = ml_collections.ConfigDict(
    {"data": {"name": "folder", "directory": str(tmp_path), **splits}}
  )
  misfits.check_workdir(config, str(tmp_path / "runs"))
  with pytest.raises(ValueError, match=r"^workdir=.* a folder of the data"):
    misfits.check_workdir(config, str(tmp_path / place))


def test_data_that_cannot_be_written_names_the_flag(no_folder, capsys):
  with pytest.raises(SystemExit) as info:
    prepare.main(["digits", f"--directory={no_folder}"])
  assert info.value.code == 1
  assert f"--directory={no_folder} cannot be" in capsys.readouterr().err
