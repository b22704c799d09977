"""Class folders: slices, remote folders, and millions of names."""

import itertools
import os

import numpy as np
import plain
import pytest

from van_jax import data
from van_jax.data.sources import listing, names
from van_jax.data.sources.folder import FileSplit
from van_jax.data.tensorflow import tf


def _files(split):
  return [split.describe(i) for i in range(split.size)]


def _open(directory, train_split, eval_split=None) -> data.Source:
  return data.open_source(
    name="folder",
    directory=str(directory),
    train_split=train_split,
    eval_split=eval_split,
  )


def _split(directory, name) -> FileSplit:
  split = _open(directory, name).train
  assert isinstance(split, FileSplit)
  return split


@pytest.fixture
def large(tmp_path):
  """Returns a folder data set of 1,000 empty files in 10 classes."""
  for label in range(10):
    folder = tmp_path / "train" / f"class{label}"
    folder.mkdir(parents=True)
    for i in range(100):
      (folder / f"image_{i:03d}.jpg").touch()
  return tmp_path


@pytest.mark.parametrize(
  "parts",
  [
    ("train[:90%]", "train[90%:]"),
    ("train[:333]", "train[333:334]", "train[334:]"),
    ("train[:-5%]", "train[-5%:]"),
    ("train[:-7]", "train[-7:]"),
    ("train[:33%]", "train[33%:67%]", "train[67%:]"),
  ],
)
def test_slices_share_no_file_and_leave_none_out(large, parts):
  (large / "train" / "class3" / "image_000.jpg").unlink()  # 999 files.
  whole = _files(_split(large, "train"))
  files = [file for part in parts for file in _files(_split(large, part))]
  assert len(files) == 999
  assert sorted(files) == whole


def test_per_cents_are_of_all_files(large):
  source = _open(large, "train[:99%]", "train[99%:]")
  assert (source.num_train, source.num_eval) == (990, 10)


def test_slices_mix_the_classes(large):
  """100 of 1,000 files: 10 of each class, standard deviation 2.9."""
  labels = _split(large, "train[:10%]").labels
  counts = np.bincount(labels, minlength=10)
  assert counts.min() >= 1
  assert counts.max() <= 25


def test_a_slice_is_the_same_in_another_place(large, tmp_path_factory):
  other = tmp_path_factory.mktemp("other")
  (large / "train").rename(other / "train")
  here = _files(_split(other, "train[:5%]"))
  (other / "train").rename(large / "train")
  there = _files(_split(large, "train[:5%]"))
  assert [f.removeprefix(str(other)) for f in here] == [
    f.removeprefix(str(large)) for f in there
  ]


def test_a_slice_keeps_labels_and_classes(large):
  split = _split(large, "train[:13]")
  assert split.class_names == tuple(f"class{label}" for label in range(10))
  for file, label in zip(_files(split), split.labels, strict=True):
    assert f"/class{label}/" in file


@pytest.mark.parametrize(
  ("split", "message"),
  [
    ("train[:9x]", r"split='train\[:9x\]' must be .*'train\[:99%\]'"),
    ("train[5]", r"split='train\[5\]' must be"),
    ("train[:50%", r"must be a name, or a slice"),
    ("train[7:7]", r"split='train\[7:7\]' .* is empty"),
    ("val[:50%]", r"no folder 'val'.*it holds train"),
  ],
)
def test_bad_slices_are_refused(large, split, message):
  with pytest.raises(ValueError, match=message):
    _open(large, split)


@pytest.fixture
def remote(folder):
  """Returns a copy of the folder data set in a file system of TensorFlow's."""
  address = f"ram:///{folder.name}"
  for path in folder.rglob("*.*"):
    copy = f"{address}/{path.relative_to(folder)}"
    tf.io.gfile.makedirs(copy.rsplit("/", 1)[0])
    with tf.io.gfile.GFile(copy, "wb") as file:
      file.write(path.read_bytes())
  return address


def test_remote_folders_give_the_batches_of_local_ones(folder, remote):
  def batches(directory):
    read = data.train_batches(
      _open(directory, "train[:80%]"),
      augmentation=plain.augmentation(),
      batch_size=8,
      seed=0,
    )
    return list(itertools.islice(read, 3))

  for one, other in zip(batches(folder), batches(remote), strict=True):
    np.testing.assert_array_equal(one["image"], other["image"])
    np.testing.assert_array_equal(one["label"], other["label"])


def test_remote_folders_are_named_in_full(remote):
  split = _split(remote, "train")
  assert split.describe(0) == f"{remote}/train/ant/00.jpg"
  with pytest.raises(ValueError, match=r"ram:///nowhere does not exist"):
    _open("ram:///nowhere", "train")


def test_empty_remote_class_folder_is_named(remote):
  tf.io.gfile.makedirs(f"{remote}/train/dog")
  with pytest.raises(ValueError, match=r"ram:.*train/dog holds no image"):
    _open(remote, "train")


def test_folders_of_object_stores_end_in_a_slash(monkeypatch):
  """As gs:// lists them; they are not asked about one by one."""
  entries = ["ant/", "bee/", ".cache/", "notes.txt"]
  monkeypatch.setattr(tf.io.gfile, "listdir", lambda _: entries)
  asked = []
  monkeypatch.setattr(tf.io.gfile, "isdir", asked.append)
  assert listing.folders("gs://bucket/train") == ["ant", "bee"]
  assert asked == ["gs://bucket/train/notes.txt"]


def test_home_folder_is_expanded(folder, monkeypatch):
  monkeypatch.setenv("HOME", str(folder))
  assert _open("~", "train").num_train == 42


def test_names_come_back():
  some = [["b", "häuser", "", "\udcff.jpg"], [], ["x" * 40]]
  packed = names.pack(["one", "two", "three"], some)
  expected = [
    "one/b",
    "one/häuser",
    "one/",
    "one/\udcff.jpg",
    f"three/{'x' * 40}",
  ]
  assert list(packed) == expected
  assert [packed[i] for i in range(5)] == expected
  assert packed[-1] == expected[-1]
  tensors = packed.tensors()
  indices = tf.range(5, dtype=tf.int64)
  looked_up = [names.look_up(tensors, index) for index in indices]
  assert [os.fsdecode(name.numpy()) for name in looked_up] == expected


def test_names_of_imagenet_21k_fit_into_memory():
  """14.2 million files of 20 letters: 28 bytes each are 0.4 GB."""
  folders = [f"n{i:08d}" for i in range(50)]
  some = [[f"{f}_{i:05d}.JPEG" for i in range(1000)] for f in folders]
  packed = names.pack(folders, some)
  held = len(packed.text) + packed.ends.nbytes + packed.first.nbytes
  assert held / len(packed) < 28.1


def test_evaluation_slice_of_the_training_folder_has_its_classes(folder):
  source = _open(folder, "train[:90%]", "train[90%:]")
  assert source.num_train + source.num_eval == 42
  assert source.class_names == ("ant", "bee", "cat")
