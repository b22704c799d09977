"""Where there is no matplotlib, a picture is an error of one line."""

import sys

import pytest

from van_jax import errors
from van_jax.analysis import drawing


def test_what_brings_it_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "matplotlib", None)
  monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
  with pytest.raises(errors.UserError, match=r"van_jax\[notebooks\]"):
    drawing.bars({"one": 1})
