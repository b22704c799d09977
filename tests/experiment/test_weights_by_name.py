"""Training starts from, and evaluation scores, released weights by name."""

import contextlib
import dataclasses

import file_server
import numpy as np
import published_files as published
import pytest

from van_jax import bundle, experiment
from van_jax.experiment import scoring, start
from van_jax.released import table


@pytest.fixture
def by_name(tmp_path, monkeypatch):
  """Yields the arrays that "van_b0" stands for, of the tiny config's model."""
  size = published.Size((8, 8, 16, 16), (1, 1, 1, 1), (2, 2, 2, 2), 10)
  arrays = published.official(size)
  file = tmp_path / "w.pth.tar"
  published.write_official(file, arrays)
  monkeypatch.setenv("VAN_JAX_CACHE", str(tmp_path / "cache"))
  monkeypatch.setenv("no_proxy", "127.0.0.1")
  with contextlib.ExitStack() as stack:
    server = stack.enter_context(file_server.running())
    server.answers["/w.pth.tar"] = [file_server.file(file.read_bytes())]
    row = table.ROWS["van_b0.openmmlab"]
    moved = dataclasses.replace(row, address=server.url("/w.pth.tar"))
    monkeypatch.setitem(table.ROWS, "van_b0.openmmlab", moved)
    yield arrays


def test_training_starts_from_weights_by_name(tiny_config, by_name):
  variables = start.pretrained_variables(
    tiny_config(pretrained_bundle="van_b0")
  )
  assert variables is not None
  scale = variables["params"]["norm4"]["scale"]
  np.testing.assert_array_equal(scale, by_name["norm4.weight"])


@pytest.mark.usefixtures("by_name")
def test_evaluation_scores_weights_by_name(tiny_config, monkeypatch):
  taken = []

  def take(_, *, checkpoint, **__):  # Scoring is another file's to test.
    taken.append(bundle.load_bundle(checkpoint))
    raise StopIteration

  monkeypatch.setattr(scoring, "start", take)
  with pytest.raises(StopIteration):
    experiment.evaluate(tiny_config(), checkpoint="van_b0")
  assert taken[0].source["format"] == "official"
