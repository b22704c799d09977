"""Segmenters against independent ones in PyTorch, on the same weights.

In float64 the two must agree to rounding: they are the same function.
"""

import importlib
import pathlib
from typing import Any

import pytest
from flax import traverse_util

from van_jax import models

ROOT = pathlib.Path(__file__).parent.parent.parent.parent
TINY = models.Variant((4, 6, 8, 10), (1, 1, 1, 1), (2, 1, 1, 2))
FIELDS = {
  "fpn": {"channels": 6, "pyramid_channels": 8},
  "upernet": {"channels": 6, "auxiliary_channels": 5},
}


@pytest.fixture
def parity(monkeypatch):
  """Returns the benchmark's module."""
  monkeypatch.syspath_prepend(str(ROOT))
  return importlib.import_module("benchmarks.segmenter_parity")


def compared(parity, head, size, **options):
  """Returns the differences by what differs, without the times."""
  found = parity.compare(
    head,
    size,
    TINY,
    num_classes=5,
    batch_size=4,
    double=True,
    implementation="xla",
    **FIELDS[head],
    **options,
  )
  return {n: v for n, v in found.items() if not n.endswith("seconds")}


@pytest.mark.parametrize("head", FIELDS)
def test_training_equals_torchs_at_an_odd_size(parity, head):
  found = compared(parity, head, (45, 69), train=True)
  auxiliary = {"auxiliary"} if head == "upernet" else set()
  assert found.keys() == {"logits", "gradients", "statistics"} | auxiliary
  # 2e-16 a rounding, some hundred one after another; a BatchNorm's gradient
  # subtracts near-equal numbers, of 4 cells where the pooled map has one each.
  assert max(found.values()) < 1e-10, found


@pytest.mark.parametrize("head", FIELDS)
def test_inference_equals_torchs(parity, head):
  found = compared(parity, head, (64, 64), gradients=False)
  assert found.keys() == {"logits"}
  assert max(found.values()) < 1e-12, found


@pytest.mark.parametrize("head", FIELDS)
def test_every_parameter_and_statistic_has_a_counterpart(parity, head):
  theirs = parity.torch_model(head, models.VARIANTS["van_b0"], 150)
  ours = parity.flax_model(head, models.VARIANTS["van_b0"], 150)
  shapes: Any = traverse_util.flatten_dict(
    models.variable_shapes(ours), sep="/"
  )
  assert {n: v.shape for n, v in shapes.items()} == {
    n: v.shape for n, v in parity.here(theirs.state_dict()).items()
  }
