"""Where there is no matplotlib, a picture is an error of one line."""

import sys

import numpy as np
import pytest

from van_jax import errors
from van_jax.analysis import drawing


@pytest.mark.parametrize(
  "draw",
  [
    lambda: drawing.bars({"one": 1}),
    lambda: drawing.receptive_field(np.eye(3), (0, 2, 0, 2)),
    lambda: drawing.masks(
      [np.zeros((2, 2, 3), np.uint8)],
      [np.zeros((2, 2), np.uint8)],
      colors=[(0, 0, 0)],
      names=["sky"],
    ),
    lambda: drawing.overlay(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2))),
  ],
)
def test_what_brings_it_is_named(draw, monkeypatch):
  for module in ("matplotlib", "matplotlib.figure", "matplotlib.patches"):
    monkeypatch.setitem(sys.modules, module, None)
  with pytest.raises(errors.UserError, match=r"van_jax\[notebooks\]"):
    draw()
