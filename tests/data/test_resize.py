"""The smaller copy of a data set: what it keeps, and what it changes."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from absl import logging
from PIL import Image

from van_jax import data
from van_jax.data import record_copy, resize
from van_jax.data.tensorflow import tf


@pytest.fixture
def source(tmp_path):
  """Returns a folder of 12 + 4 images, some small, one that is no JPEG."""
  rng = np.random.default_rng(0)
  for split, count in (("train", 6), ("val", 2)):
    for label, name in enumerate(("b ant", "a bee")):
      folder = tmp_path / "images" / split / name
      folder.mkdir(parents=True)
      for i in range(count):
        size = (90 + 7 * i, 70) if i else (40, 44)
        coarse = Image.fromarray(
          rng.integers(0, 256, (4, 5, 3), np.uint8) // (label + 1)
        )
        image = coarse.resize(size, Image.Resampling.BICUBIC)
        image.save(folder / f"{i}.{'png' if i == 3 else 'jpg'}", quality=98)
  return str(tmp_path / "images")


@pytest.fixture
def make(source, tmp_path):
  """Returns a function that makes a copy, with files of five examples."""

  def make(**changes):
    options = {
      "output": str(tmp_path / "copy"),
      "short_side": 48,
      "eval_split": "val",
    }
    return resize.resize("folder", source, **{**options, **changes})

  return make


@pytest.fixture(autouse=True)
def files_of_five(monkeypatch):
  original = record_copy.RecordCopy.__init__

  def short(self, **fields):
    original(self, **{"examples_a_file": 5, **fields})

  monkeypatch.setattr(record_copy.RecordCopy, "__init__", short)


def read(name, directory, split):
  """Returns (encoded image, label) of each example, in order."""
  opened = data.open_source(
    name=name, directory=str(directory), train_split=split, eval_split=None
  )
  assert opened.train is not None
  found = []
  for _, handle in opened.train.sequence(0, opened.num_train):
    parts = opened.train.fetch(handle)
    found.append((parts["image"].numpy(), int(parts["label"])))
  return opened.class_names, found


def pixels(encoded):
  with Image.open(io.BytesIO(encoded)) as image:
    return np.asarray(image.convert("RGB")).astype(int)


def test_classes_labels_and_order_are_kept_and_images_are_smaller(
  make, source, tmp_path
):
  assert make() == "folder_48"
  classes, before = read("folder", source, "train")
  copied, after = read("folder_48", tmp_path / "copy", "train")
  assert copied == classes == ("a bee", "b ant")
  assert [label for _, label in after] == [label for _, label in before]
  for (old, _), (new, _) in zip(before, after, strict=True):
    H, W, _ = pixels(old).shape
    if min(H, W) <= 48:
      assert new == old
      continue
    size = (W * 48 // min(H, W), H * 48 // min(H, W))
    with Image.open(io.BytesIO(old)) as image:
      expected = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    assert new[:2] == b"\xff\xd8"
    # JPEG of quality 95 on smooth images: a level or two, 8 at the most.
    difference = np.abs(pixels(new) - np.asarray(expected).astype(int))
    assert difference.mean() < 2


def test_images_for_evaluation_are_copied_byte_for_byte(make, source, tmp_path):
  make()
  assert read("folder_48", tmp_path / "copy", "val") == read(
    "folder", source, "val"
  )


def test_a_copy_opens_as_any_tfds_data_set(make, tmp_path):
  make()
  opened = data.open_source(
    name="folder_48",
    directory=str(tmp_path / "copy"),
    train_split="train",
    eval_split="val",
  )
  assert (opened.num_train, opened.num_eval) == (12, 4)


def test_a_command_that_was_stopped_goes_on_with_the_missing_files(
  make, tmp_path, monkeypatch
):
  written = []
  write_file = record_copy._write_file

  def stop_at_third(path, *arguments):
    if len(written) == 2:
      raise KeyboardInterrupt
    written.append(os.path.basename(path))
    return write_file(path, *arguments)

  monkeypatch.setattr(record_copy, "_write_file", stop_at_third)
  with pytest.raises(KeyboardInterrupt):
    make()
  with pytest.raises(ValueError, match="is not prepared"):
    read("folder_48", tmp_path / "copy", "train")
  with pytest.raises(
    ValueError, match=r"was made otherwise, as .*resize\.json"
  ):
    make(quality=90)
  begun = {
    path.name: path.stat().st_mtime_ns
    for path in (tmp_path / "copy").rglob("*.tfrecord*")
  }
  assert sorted(begun) == sorted(written)
  monkeypatch.setattr(record_copy, "_write_file", write_file)
  make()
  files = {p.name: p for p in (tmp_path / "copy").rglob("*.tfrecord*")}
  assert len(files) == 4  # 12 and 4 examples, 5 a file.
  assert all(files[n].stat().st_mtime_ns == t for n, t in begun.items())
  assert len(read("folder_48", tmp_path / "copy", "train")[1]) == 12


def test_what_killed_commands_left_is_removed_and_written_anew(
  make, tmp_path, monkeypatch
):
  folder = tmp_path / "copy" / "folder_48" / "1.0.0"
  folder.mkdir(parents=True)
  dead = subprocess.Popen(["true"])
  dead.wait()
  # Killed while it told of its settings: the folder is nobody's yet.
  (folder / f".resize.json.{dead.pid}.incomplete").write_text("{")
  end = record_copy.RecordCopy.end
  monkeypatch.setattr(
    record_copy.RecordCopy, "end", lambda self, *given: sys.exit(9)
  )
  with pytest.raises(SystemExit):
    make()
  monkeypatch.setattr(record_copy.RecordCopy, "end", end)
  # While it wrote a file, here and on another host, and at the very end.
  name = "folder_48-train.tfrecord-00001-of-00003"
  (folder / name).unlink()
  for whose in (dead.pid, f"elsewhere-{dead.pid}"):
    (folder / f".{name}.{whose}.incomplete").write_bytes(b"half")
  (folder / "dataset_info.json").write_text('{"name": ')
  make()
  assert len(read("folder_48", tmp_path / "copy", "train")[1]) == 12
  assert not [n for n in os.listdir(folder) if n.endswith("incomplete")]


def test_damaged_images_are_left_out_where_it_is_asked_for(
  make, source, tmp_path, monkeypatch
):
  said = []
  monkeypatch.setattr(
    logging, "warning", lambda text, *arguments: said.append(text % arguments)
  )
  _, before = read("folder", source, "train")
  for name in ("a bee/2.jpg", "b ant/5.jpg"):
    with open(os.path.join(source, "train", name), "r+b") as file:
      file.truncate(300)
  # Stopped and begun again: what is written is known by its files alone.
  end = record_copy.RecordCopy.end
  monkeypatch.setattr(
    record_copy.RecordCopy, "end", lambda self, *given: sys.exit(9)
  )
  with pytest.raises(SystemExit):
    make(on_damaged="skip")
  monkeypatch.setattr(record_copy.RecordCopy, "end", end)
  assert [text.partition("train/")[2] for text in said] == [
    "a bee/2.jpg is damaged, and skipped; 1 so far.",
    "b ant/5.jpg is damaged, and skipped; 2 so far.",
  ]
  make(on_damaged="skip")
  _, after = read("folder_48", tmp_path / "copy", "train")
  kept = [pair for i, pair in enumerate(before) if i not in (2, 11)]
  assert [label for _, label in after] == [label for _, label in kept]
  assert after[5][0] == kept[5][0]  # It is small, and as it was.


def test_of_nothing_but_damaged_images_no_file_is_made(make, source, tmp_path):
  for name in os.listdir(os.path.join(source, "train", "a bee")):
    path = os.path.join(source, "train", "a bee", name)
    with open(path, "r+b") as file:
      file.truncate(30)
  with pytest.raises(ValueError, match=r"none of the images for .*-00000-of"):
    make(on_damaged="skip")
  assert not list((tmp_path / "copy").rglob("*.tfrecord*"))


def test_exif_turns_images_where_it_is_asked_for(tmp_path):
  folder = tmp_path / "images" / "train" / "c"
  folder.mkdir(parents=True)
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.new("RGB", (40, 60)).save(folder / "0.jpg", exif=exif)
  sizes = []
  for name, turned in (("plain", False), ("turned", True)):
    resize.resize(
      "folder",
      str(tmp_path / "images"),
      output=str(tmp_path / "copy"),
      output_name=name,
      short_side=64,
      eval_split="",
      exif_rotation=turned,
    )
    ((encoded, _),) = read(name, tmp_path / "copy", "train")[1]
    sizes.append(pixels(encoded).shape[:2])
  assert sizes == [(60, 40), (40, 60)]


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"short_side": 16}, "short_side=16 must be a whole number, at least 32"),
    ({"quality": 101}, "quality=101 must be from 1 to 100"),
    ({"on_damaged": "skipp"}, "on_damaged='skipp' must be one of raise, skip"),
    ({"train_split": "train[:9%]"}, "must be a whole split"),
    ({"eval_split": "train"}, "of a name of its own"),
    ({"output_name": "My copy"}, "output_name='My copy' must be of small"),
    ({"eval_split": "nowhere"}, "holds no folder 'nowhere'"),
    ({"output": "/proc/nowhere"}, "--output=/proc/nowhere cannot be written"),
  ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
  make, tmp_path, changes, said
):
  with pytest.raises(ValueError, match=said):
    make(**changes)
  assert not (tmp_path / "copy").exists()


def test_a_copy_that_is_there_is_not_written_over(make):
  make()
  with pytest.raises(ValueError, match="holds a whole data set; name another"):
    make()


def test_a_damaged_image_is_named_in_one_line(source, tmp_path, capsys):
  path = os.path.join(source, "train", "a bee", "2.jpg")
  with open(path, "r+b") as file:
    file.truncate(300)
  with pytest.raises(SystemExit) as info:
    resize.main(
      [
        *("folder", f"--directory={source}", f"--output={tmp_path / 'copy'}"),
        *("--short_side=48", "--eval_split="),
      ]
    )
  assert info.value.code == 1
  said = capsys.readouterr().err.splitlines()[-1]
  assert said.startswith(f"error: {path} is damaged")
  assert "replace it in the data set that is copied" in said
  assert not list(tf.io.gfile.glob(f"{tmp_path}/copy/*/*/*incomplete"))
