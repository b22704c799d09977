"""A folder is told from one that was made in its place."""

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


def test_a_folder_that_cannot_be_asked_after_is_not_called_lost(
  opened, monkeypatch
):
  def fail(*arguments):
    raise OSError(5, "Input/output error")

  with monkeypatch.context() as failing:  # Not longer: pytest asks too.
    failing.setattr(os, "fstat", fail)
    is_lost = opened[1].is_lost()
  assert not is_lost


def test_closing_lets_go_of_the_folder(opened):
  def count():
    return len(os.listdir("/proc/self/fd"))

  before = count()
  opened[1].close()
  opened[1].close()
  assert count() == before - 1
  assert not opened[1].is_lost()  # By its name alone.
