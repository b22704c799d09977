"""A folder is told from one that was made in its place."""

import errno
import os

import pytest

from van_jax import storage
from van_jax.training.run import presence


@pytest.fixture
def opened(tmp_path):
  folder = storage.absolute(tmp_path / "checkpoints")
  folder.mkdir()
  (folder / "1").mkdir()
  there = presence.Presence(folder)
  yield folder, there
  there.close()


def test_what_is_written_to_is_there(opened):
  folder, there = opened
  (folder / "2").mkdir()
  assert not there.is_lost()


def test_a_removed_folder_is_lost_even_once_it_is_made_again(opened):
  folder, there = opened
  folder.rmtree()
  assert there.is_lost()
  folder.mkdir()
  assert there.is_lost()


@pytest.mark.parametrize(
  ("number", "lost"), [(errno.EIO, False), (errno.ESTALE, True)]
)
def test_what_the_storage_says_decides(opened, monkeypatch, number, lost):
  """NFS calls a folder stale that another host has removed."""

  def fail(*arguments):
    raise OSError(number, os.strerror(number))

  with monkeypatch.context() as failing:  # Not longer: pytest asks too.
    failing.setattr(os, "fstat", fail)
    is_lost = opened[1].is_lost()
  assert is_lost == lost


def test_a_folder_that_does_not_show_yet_goes_by_its_name(tmp_path):
  folder = storage.absolute(tmp_path / "late")
  there = presence.Presence(folder)
  folder.mkdir()
  assert not there.is_lost()
  folder.rmtree()
  assert there.is_lost()
  there.close()


def test_closing_lets_go_of_the_folder(opened):
  def count():
    return len(os.listdir("/proc/self/fd"))

  before = count()
  opened[1].close()
  opened[1].close()
  assert count() == before - 1
  assert not opened[1].is_lost()  # By its name alone.
