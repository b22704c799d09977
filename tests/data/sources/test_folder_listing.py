"""What class folders give: all that is an image by name, and what is told."""

import os

import pytest
from absl import logging

from van_jax import data, errors
from van_jax.data.sources import listing
from van_jax.data.sources.folder import FileSplit
from van_jax.data.tensorflow import tf


@pytest.fixture
def said(monkeypatch):
  """Returns the list of the warnings that are logged."""
  said = []
  monkeypatch.setattr(
    logging, "warning", lambda text, *arguments: said.append(text % arguments)
  )
  return said


@pytest.fixture
def write(tmp_path):
  """Returns a function that makes empty files below the split "train"."""

  def write(*files):
    for file in files:
      path = tmp_path / "train" / file
      path.parent.mkdir(parents=True, exist_ok=True)
      path.touch()
    return tmp_path / "train"

  return write


def _open(directory, split="train", eval_split=None):
  source = data.open_source(
    name="folder",
    directory=str(directory),
    train_split=split,
    eval_split=eval_split,
  )
  assert isinstance(source.train, FileSplit)
  return source.train


def _files(split):
  """Returns the names of all files below the split's folder."""
  names = (split.describe(i) for i in range(split.size))
  return [name.removeprefix(f"{split.title}/") for name in names]


def test_all_formats_that_are_read_are_listed(write):
  endings = (
    "jpg jpeg JPEG jfif png gif bmp webp tif tiff ppm pgm pbm jp2 j2k avif"
  )
  names = [f"ant/{i:02d}.{e}" for i, e in enumerate(endings.split())]
  assert _files(_open(write(*names).parent)) == names


def test_images_in_folders_of_class_folders_are_listed(write):
  names = ["ant/a.jpg", "ant/b/2.jpg", "ant/b/c/1.png", "ant/c.jpg"]
  split = _open(write(*names, "bee/in/a.JPG").parent)
  assert _files(split) == [*names, "bee/in/a.JPG"]  # Sorted as texts.
  assert split.labels.tolist() == [0, 0, 0, 0, 1]


def test_plain_folders_keep_their_order(write):
  """As of the versions that took .jpg, .jpeg and .png alone."""
  names = ["B.jpg", "a.JPEG", "b.png", "Z.Png", "10.jpg", "9.jpg", "ä.jpg"]
  root = write(*(f"ant/{name}" for name in names))
  assert _files(_open(root.parent)) == [f"ant/{name}" for name in sorted(names)]


def test_what_is_left_out_is_named_and_counted_once(write, said):
  root = write(
    *("ant/a.jpg", "ant/a.xml", "ant/in/b.txt", "bee/b.jpg", "bee/notes"),
    "stray.jpg",
  )
  (root / "bee" / "gone.jpg").symlink_to(root / "nowhere.jpg")
  _open(root.parent, "train[:50%]", "train[50%:]")
  (line,) = said
  assert line.startswith(f"{root}: 5 files are left out")
  assert "stray.jpg, ant/a.xml, ant/in/b.txt, ..." in line
  assert "*.webp" in line


def test_nothing_is_said_where_nothing_is_left_out(write, said):
  names = ("ant/a.jpg", "ant/.DS_Store", "ant/._a.jpg", "ant/Thumbs.db")
  hidden = (".hidden/a.jpg", "__MACOSX/ant/._a.jpg")
  split = _open(write(*names, *hidden).parent)
  assert _files(split) == ["ant/a.jpg"]
  assert said == []


def test_folders_and_links_to_nothing_are_no_images(write):
  root = write("ant/a.jpg", "ant/x.jpg/b.jpg", "ant/empty.png/c.txt")
  (root / "ant" / "dangling.jpg").symlink_to(root / "nowhere.jpg")
  os.mkfifo(root / "ant" / "pipe.jpg")
  assert _files(_open(root.parent)) == ["ant/a.jpg", "ant/x.jpg/b.jpg"]


def test_links_are_followed_and_not_in_circles(write, tmp_path):
  root = write("ant/a.jpg", "ant/in/b.jpg")
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "elsewhere" / "c.jpg").touch()
  (root / "ant" / "link").symlink_to(tmp_path / "elsewhere")
  (root / "ant" / "l.jpg").symlink_to(tmp_path / "elsewhere" / "c.jpg")
  (root / "ant" / "in" / "round").symlink_to(root / "ant")
  (root / "ant" / "self").symlink_to(root / "ant" / "self")  # Leads nowhere.
  names = ["ant/a.jpg", "ant/in/b.jpg", "ant/l.jpg", "ant/link/c.jpg"]
  assert _files(_open(root.parent)) == names


def test_class_folder_with_a_name_that_is_not_utf_8_is_named(write):
  root = write("ant/a.jpg")
  os.mkdir(os.fsencode(root) + b"/caf\xe9")
  with pytest.raises(errors.UserError, match=r"b'caf\\xe9' in .*rename it"):
    _open(root.parent)


def test_files_may_have_names_that_are_not_utf_8(write):
  root = write("ant/a.jpg")
  inner = os.fsencode(root) + b"/ant/caf\xe9"
  os.mkdir(inner)
  with open(inner + b"/\xe9.jpg", "wb") as file:
    file.write(b"content")
  split = _open(root.parent)
  assert split.size == 2
  fetched = split.fetch(tf.constant(1, tf.int64))
  assert fetched["image"].numpy() == b"content"


def test_folders_around_may_have_names_that_are_not_utf_8(write, tmp_path):
  root = write("ant/a.jpg")
  (root / "ant" / "a.jpg").write_bytes(b"content")
  around = tmp_path / os.fsdecode(b"caf\xe9")
  around.mkdir()
  root.rename(around / "train")
  fetched = _open(around).fetch(tf.constant(0, tf.int64))
  assert fetched["image"].numpy() == b"content"


@pytest.mark.parametrize("denied", ["train/bee", "train/ant/in", "train", ""])
def test_a_folder_without_permission_says_the_remedy(
  write, denied, monkeypatch
):
  """Tests may run as root, whom no permission stops."""
  directory = write("ant/in/a.jpg", "bee/b.jpg").parent
  scandir = os.scandir

  def refuse(path):
    if str(path) == str(directory / denied):
      raise PermissionError(13, "Permission denied", str(path))
    return scandir(path)

  monkeypatch.setattr(listing.os, "scandir", refuse)
  split = "train" if denied else "nowhere"  # Its absence lists what there is.
  with pytest.raises(errors.UserError, match=r"permission.*chmod -R") as info:
    _open(directory, split)
  assert str(info.value).startswith(str(directory / denied))


def test_remote_folders_are_listed_alike(write, said):
  names = ("ant/a.webp", "ant/in/b.jpg", "ant/in/notes.txt", "bee/c.tif")
  root = write(*names)
  address = f"ram:///{root.parent.name}"
  for name in names:
    path = f"{address}/train/{name}"
    tf.io.gfile.makedirs(path.rsplit("/", 1)[0])
    with tf.io.gfile.GFile(path, "wb") as file:
      file.write(b"x")
  here, there = _open(root.parent), _open(address)
  assert _files(there) == _files(here) == [*names[:2], names[3]]
  assert [line.split(": ", 1)[1] for line in said[:1]] == [
    line.split(": ", 1)[1] for line in said[1:]
  ]


def test_object_stores_are_not_asked_about_single_files(monkeypatch):
  listings = {
    "gs://b/train": ["a.jpg", "in/", "notes", ".x"],
    "gs://b/train/in": ["c.png", "x.jpg/"],
    "gs://b/train/in/x.jpg": ["d.jpg"],
  }
  monkeypatch.setattr(tf.io.gfile, "listdir", listings.__getitem__)
  monkeypatch.setattr(tf.io.gfile, "isdir", lambda path: 1 / 0)
  found = listing.images("gs://b/train")
  assert found.names == ["a.jpg", "in/c.png", "in/x.jpg/d.jpg"]
  assert found.others == ["notes"]
