"""Where Numba's compiled loops are kept."""

import pathlib

import pytest

from van_jax.ops.cpu import compiled


@pytest.fixture(autouse=True)
def _forget():
  compiled._folder.cache_clear()
  yield
  compiled._folder.cache_clear()


def test_folder_is_of_the_sources(tmp_path, monkeypatch):
  monkeypatch.setattr(compiled, "_FOLDER", str(tmp_path))
  assert pathlib.Path(compiled._folder()) == tmp_path / compiled._digest()


@pytest.mark.parametrize("home", ["/dev/null/cache", "~nobody_of_this_name/x"])
def test_without_a_home_loops_are_kept_for_a_while(home, monkeypatch):
  monkeypatch.setattr(compiled, "_FOLDER", home)
  folder = pathlib.Path(compiled._folder())
  (folder / "loop").touch()  # It is there, and can be written.
