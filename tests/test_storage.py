"""Paths as users name them, and writing that leaves the old or the new."""

import errno
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest

import van_jax
from van_jax import data, errors, storage
from van_jax.training import state
from van_jax.training.run import checkpoint, kept, restoring, workdir


@pytest.fixture
def here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_local_paths_become_absolute(here):
  assert os.fspath(storage.absolute("runs/a")) == str(here / "runs/a")


def test_the_home_folder_is_filled_in():
  assert os.fspath(storage.absolute("~/runs")) == str(
    pathlib.Path.home() / "runs"
  )


@pytest.mark.usefixtures("here")
def test_a_home_that_there_is_not_is_no_folder_of_that_name():
  with pytest.raises(
    ValueError, match=r"~no_such_user/x starts with .*\./~no_such_user/x"
  ):
    storage.absolute("~no_such_user/x")
  assert storage.absolute("./~no_such_user/x").parent.name == "~no_such_user"


def test_a_home_that_is_not_known_is_no_folder_of_that_name(monkeypatch):
  monkeypatch.setattr(os.path, "expanduser", lambda path: path)
  with pytest.raises(ValueError, match="~/x starts with a home folder"):
    storage.absolute("~/x")


def test_remote_paths_stay_as_they_are():
  assert os.fspath(storage.absolute("gs://bucket/runs")) == "gs://bucket/runs"


@pytest.mark.usefixtures("here")
def test_checkpoints_go_into_a_relative_folder():
  values = {"params": {"w": jnp.ones(3)}, "batch_stats": {}}
  start = state.create_state(values, optax.sgd(1.0), ema=False)
  saver = checkpoint.Checkpointer(
    "runs/a", keep_last=1, keep_best=0, best="top1", best_mode="max"
  )
  saver.save(1, start)
  saver.close()
  assert kept.steps("runs/a") == [1]
  assert restoring.restore("runs/a", 1, start).params["w"].shape == (3,)


@pytest.mark.usefixtures("here")
def test_a_relative_workdir_is_claimed_and_set_aside():
  workdir.claim("runs/a", {"seed": 1})
  assert workdir.read_config("runs/a") == {"seed": 1}
  workdir.set_aside("runs/a")
  assert os.listdir("runs") == ["a.1"]


@pytest.mark.usefixtures("here")
def test_a_bundle_goes_into_a_relative_folder_and_comes_back():
  model = van_jax.create_model(
    "van_b0",
    widths=(8, 8, 8, 8),
    depths=(1, 1, 1, 1),
    ffn_ratios=(1, 1, 1, 1),
    num_classes=2,
    implementation="xla",
  )
  shapes = jax.eval_shape(
    model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3))
  )
  variables = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), shapes)
  van_jax.save_bundle(
    "bundles/a",
    model=model,
    variables=variables,
    preprocessing=data.Preprocessing(
      image_size=32,
      resize_mode="warp",
      resize_size=32,
      interpolation="bicubic",
      mean=(0.5, 0.5, 0.5),
      std=(0.5, 0.5, 0.5),
    ),
    source={},
  )
  loaded = van_jax.load_bundle("bundles/a")
  assert jax.tree.structure(loaded.variables) == jax.tree.structure(variables)


def write(draft, text, *, folder):
  """Writes a file, or a folder with one in it."""
  if folder:
    draft.mkdir()
    draft = draft / "file"
  draft.write_text(text)


def read(path, *, folder):
  return (path / "file" if folder else path).read_text()


FOLDER_OR_FILE = pytest.mark.parametrize("folder", [False, True])


@FOLDER_OR_FILE
def test_what_is_written_lies_under_its_name(here, folder):
  with storage.replacing("new/place") as draft:
    write(draft, "text", folder=folder)
    assert not (here / "new" / "place").exists()
  assert read(here / "new" / "place", folder=folder) == "text"
  assert os.listdir(here / "new") == ["place"]


@FOLDER_OR_FILE
def test_the_new_takes_the_place_of_the_old(here, folder):
  for text in ("old", "new"):
    with storage.replacing("place") as draft:
      write(draft, text, folder=folder)
  assert read(here / "place", folder=folder) == "new"
  assert os.listdir(here) == ["place"]


@FOLDER_OR_FILE
def test_the_old_lies_there_until_the_new_is_whole(here, folder):
  write(here / "place", "old", folder=folder)
  with storage.replacing("place") as draft:
    write(draft, "new", folder=folder)
    assert read(here / "place", folder=folder) == "old"


@FOLDER_OR_FILE
def test_an_error_leaves_the_old_alone_and_no_draft(here, folder):
  write(here / "place", "old", folder=folder)

  def fail():
    with storage.replacing("place") as draft:
      write(draft, "new", folder=folder)
      raise OSError("disk full")

  with pytest.raises(OSError, match="full"):
    fail()
  assert read(here / "place", folder=folder) == "old"
  assert os.listdir(here) == ["place"]


def test_a_folder_that_cannot_be_replaced_comes_back(here):
  write(here / "place", "old", folder=True)
  with pytest.raises(FileNotFoundError), storage.replacing("place"):
    pass  # There is no draft to rename.
  assert read(here / "place", folder=True) == "old"
  assert os.listdir(here) == ["place"]


@FOLDER_OR_FILE
def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(
  here, folder
):
  write(here / "place", "old", folder=folder)
  for end in ("incomplete", "replaced"):
    write(here / f".place.{os.getpid()}.{end}", "left", folder=folder)
  with storage.replacing("place") as draft:
    write(draft, "new", folder=folder)
  assert read(here / "place", folder=folder) == "new"


@pytest.fixture
def bucket(here, monkeypatch):
  """Returns a folder whose paths count as remote ones."""
  folder = here / "bucket"
  folder.mkdir()
  monkeypatch.setattr(storage, "is_remote", lambda path: "bucket" in str(path))
  return folder


def test_a_remote_file_is_read_from_a_local_copy_of_its_name(bucket):
  (bucket / "w.pth").write_text("weights")
  with storage.local_copy(os.fspath(bucket / "w.pth")) as copy:
    assert (copy.name, copy.read_text()) == ("w.pth", "weights")
    assert copy.parent != bucket
  assert not copy.exists()


@FOLDER_OR_FILE
def test_what_is_written_for_a_remote_place_is_copied_there(bucket, folder):
  with storage.local_draft(os.fspath(bucket / "new")) as draft:
    write(draft, "text", folder=folder)
    assert not (bucket / "new").exists()
  assert read(bucket / "new", folder=folder) == "text"
  assert not draft.exists()


def test_folders_within_are_copied_to_a_remote_place(bucket):
  with storage.local_draft(os.fspath(bucket / "new")) as draft:
    (draft / "inner").mkdir(parents=True)
    write(draft / "inner" / "file", "text", folder=False)
  assert read(bucket / "new" / "inner" / "file", folder=False) == "text"


def test_a_disk_that_is_full_is_one_line_and_leaves_what_was_there(here):
  write(here / "scores.json", "old", folder=False)

  def fail():
    with storage.replacing("scores.json") as draft:
      draft.write_text("half")
      try:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      except OSError as error:  # As libraries pass it on.
        raise RuntimeError("a write failed") from error

  message = "scores.json could not .*No space"
  with pytest.raises(errors.UserError, match=message):
    fail()
  assert read(here / "scores.json", folder=False) == "old"
  assert os.listdir(here) == ["scores.json"]


@pytest.fixture
def dead():
  """Returns the number of a process that has ended."""
  process = subprocess.Popen([sys.executable, "-c", ""])
  process.wait()
  return process.pid


@FOLDER_OR_FILE
def test_the_next_start_removes_what_dead_processes_left(here, dead, folder):
  names = [f".run.{dead}.incomplete", f".a.b.{storage._host()}-{dead}.replaced"]
  for name in [*names, "a.b", "thesis.txt", ".thesis.12.txt"]:
    write(here / name, name, folder=folder)
  storage.remove_leftovers(storage.absolute(here))
  assert sorted(os.listdir(here)) == [".thesis.12.txt", "a.b", "thesis.txt"]
  assert read(here / "a.b", folder=folder) == "a.b"


@FOLDER_OR_FILE
def test_what_a_dead_process_had_moved_away_comes_back(here, dead, folder):
  write(here / f".run.{storage._host()}-{dead}.replaced", "old", folder=folder)
  storage.remove_leftovers(storage.absolute(here))
  assert os.listdir(here) == ["run"]
  assert read(here / "run", folder=folder) == "old"


def test_what_living_processes_and_other_machines_write_stays(here, dead):
  living = f".run.{storage._host()}-{os.getppid()}.incomplete"
  elsewhere = f".run.elsewhere-{dead}.incomplete"
  for name in (living, elsewhere):
    write(here / name, "half", folder=False)
  storage.remove_leftovers(storage.absolute(here))
  with storage.replacing("run") as draft:
    write(draft, "new", folder=False)
  assert sorted(os.listdir(here)) == sorted([living, elsewhere, "run"])
