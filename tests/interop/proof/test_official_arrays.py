"""The proof reads torch's files by torch, wherever torch reads them."""

import sys
import types

import numpy as np
import published_files as published
import pytest
import torch

from van_jax.interop.proof import official_arrays


@pytest.fixture
def arrays():
  return published.official()


def assert_equal(got, arrays):
  for key, array in got.items():
    np.testing.assert_array_equal(array, arrays[key], err_msg=key)


def test_torch_reads_around_classes_that_are_not_rebuilt(
  arrays, tmp_path, caplog
):
  module = types.ModuleType("somebody")
  made = type("History", (), {"__module__": "somebody"})
  module.History = made  # pyright: ignore[reportAttributeAccessIssue]
  history = made()
  history.values = [1.0]  # pyright: ignore[reportAttributeAccessIssue]
  sys.modules["somebody"] = module
  state = {f"model.{k}": v for k, v in published.tensors(arrays).items()}
  torch.save({"state_dict": state, "log": history}, tmp_path / "w")
  del sys.modules["somebody"]
  assert_equal(official_arrays.read(tmp_path / "w", averaged=False), arrays)
  assert "torch itself refuses" not in caplog.text


def test_what_torch_refuses_is_said_and_read_here(arrays, tmp_path, caplog):
  state = published.tensors(arrays)
  torch.save(state, tmp_path / "w", pickle_protocol=4)
  assert_equal(official_arrays.read(tmp_path / "w", averaged=False), arrays)
  assert "torch itself refuses to read" in caplog.text
