"""What a user names to write to: refused before the work, never replaced."""

import os

import pytest

from van_jax import places


@pytest.fixture
def here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_what_can_be_written_is_tried_and_leaves_nothing(here):
  places.check_writable("new/folder/file", "output")
  places.check_writable("run", "workdir", inside=True)
  places.check_writable("gs://bucket/run", "workdir")
  assert os.listdir(here) == []


@pytest.mark.parametrize("inside", [False, True])
def test_a_place_that_cannot_be_written_is_named(here, inside):
  (here / "file").write_text("mine")
  message = rf"^output=file/x cannot be written: {here}/file is not .*directory"
  with pytest.raises(ValueError, match=message):
    places.check_writable("file/x", "output", inside=inside)


def test_a_workdir_is_written_into(here):
  (here / "file").write_text("mine")
  places.check_writable("file", "output")  # It would be replaced.
  with pytest.raises(ValueError, match=r"^workdir=file cannot be"):
    places.check_writable("file", "workdir", inside=True)


def test_a_file_is_of_a_kind_that_is_written():
  with pytest.raises(
    ValueError, match=r"^output=a\.txt must end with \.svg or \.png, which"
  ):
    places.check_file("a.txt", "output", kinds=(".svg", ".png"))
  with pytest.raises(ValueError, match=r"must end with \.png"):
    places.check_file(".d/png", "output", kinds=(".png",))


def test_an_ending_may_be_in_capitals_and_a_file_without_kinds_has_any(here):
  assert places.check_file("a.PNG", "output", kinds=(".png",)) == here / "a.PNG"
  assert places.check_file("a", "output") == here / "a"


def test_a_folder_is_no_file(here):
  (here / "a.png").mkdir()
  with pytest.raises(ValueError, match=r"^output=a\.png is a folder"):
    places.check_file("a.png", "output", kinds=(".png",))


def test_a_file_that_is_there_is_replaced_only_when_allowed(here):
  (here / "a").write_text("mine")
  with pytest.raises(ValueError, match=r"^output=a is there .*--overwrite"):
    places.check_file("a", "output", overwrite=False)
  places.check_file("a", "output", overwrite=True)
  assert (here / "a").read_text() == "mine"


def test_a_file_below_a_file_is_refused(here):
  (here / "a").write_text("mine")
  with pytest.raises(ValueError, match=r"^output=a/b cannot be written"):
    places.check_file("a/b", "output")


def own(path, overwrite=False, **options):
  return places.check_own(
    path,
    "path",
    kind="a bundle",
    is_own=lambda place: (place / "bundle.json").exists(),
    overwrite=overwrite,
    **options,
  )


def test_what_is_ours_is_replaced_only_when_allowed(here):
  (here / "a").mkdir()
  (here / "a" / "bundle.json").write_text("")
  with pytest.raises(ValueError, match=r"^path=a exists already; .*--overwr"):
    own("a")
  assert own("a", overwrite=True) == here / "a"


def test_what_is_not_ours_is_never_replaced(here):
  (here / "a").mkdir()
  (here / "a" / "thesis.txt").write_text("years")
  for overwrite, rule in (
    (False, "exists already"),
    (True, "not a bundle, so"),
  ):
    with pytest.raises(ValueError, match=rf"^path=a {rule}|path=a is {rule}"):
      own("a", overwrite)


def test_an_empty_folder_is_free_for_a_folder_alone(here):
  (here / "a").mkdir()
  assert own("a") == here / "a"
  with pytest.raises(ValueError, match=r"^path=a exists already"):
    own("a", folder=False)


@pytest.mark.parametrize("path", ["", 3, None])
def test_a_place_has_a_name(here, path):
  message = f"^path={path!r} must be a path, and not empty"
  with pytest.raises(ValueError, match=message):
    own(path, overwrite=True)
  with pytest.raises(ValueError, match=message):
    places.check_file(path, "path")
  with pytest.raises(ValueError, match=message):
    places.check_writable(path, "path", inside=True)


def test_a_folder_below_a_file_is_refused(here):
  (here / "a").write_text("mine")
  with pytest.raises(ValueError, match=r"^path=a/b cannot be written"):
    own("a/b")
