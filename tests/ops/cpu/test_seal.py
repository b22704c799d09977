"""A damaged cache of compiled loops heals, and computes what it did."""

import json
import logging
import pathlib
from typing import Any

import pytest

from van_jax.ops.cpu import compiled


def triple(number):
  """Returns three times a number."""
  return 3 * number


class Start:
  """What one start of a program finds."""

  def __init__(self):
    compiled._folder.cache_clear()
    function: Any = compiled.c_function(triple)
    self.from_cache = function.cache_hits == 1
    self.value = function.ctypes(14)


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """Returns the cache's folder, filled by a first start."""
  monkeypatch.setattr(compiled, "_FOLDER", str(tmp_path))
  assert not Start().from_cache
  yield pathlib.Path(compiled._folder())
  compiled._folder.cache_clear()


def file_of(folder, end):
  (path,) = folder.rglob(f"*{end}")
  return path


def truncate(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 4
  path.write_bytes(content)


def clear(path):
  path.write_bytes(b"")


DAMAGES = [truncate, flip_a_bit, clear, pathlib.Path.unlink]


def test_a_sound_cache_is_used(folder):
  start = Start()
  assert start.from_cache
  assert start.value == 42


@pytest.mark.parametrize("end", [".nbi", ".nbc", "sealed.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_compiled_anew_and_then_used_again(
  folder, damage, end
):
  damage(file_of(folder, end))
  start = Start()
  assert start.value == 42
  assert not start.from_cache
  again = Start()
  assert again.value == 42
  assert again.from_cache


def test_damage_is_said_once(folder, caplog):
  flip_a_bit(file_of(folder, ".nbc"))
  with caplog.at_level(logging.WARNING):
    Start()
    Start()
  assert caplog.text.count("compiled anew") == 1
  assert str(folder) in caplog.text


def test_a_process_that_was_killed_before_it_sealed_does_no_harm(folder):
  file_of(folder, "sealed.json").unlink()
  assert Start().value == 42
  assert json.loads(file_of(folder, "sealed.json").read_text())


def test_files_that_another_process_is_writing_stay(folder):
  draft = folder / "loops.nbi.tmp.0123"
  draft.write_bytes(b"half")
  Start()
  assert draft.exists()
