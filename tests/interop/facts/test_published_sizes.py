"""B0, B1 and B2 from a file in PyTorch and in Flax: the same logits.

B2 has blocks of two digits, as all larger ones do. `python
benchmarks/conversion.py --models=van_b0,van_b6 --sizes=224,384` does the same
for all of them at full size.
"""

import dataclasses

import published_files as published
import pytest
import torch

from van_jax import models
from van_jax.interop import convert as conversion
from van_jax.interop.proof import (
  official_arrays,
  photographs,
  torch_van,
  verification,
)


def write_realistic(name, path):
  """Writes an official file of a published variant, as if trained.

  Norms, biases and scales are random, and the statistics are those of some
  images: gates square what they get, and a deep network with statistics of
  nothing overflows.
  """
  torch.manual_seed(0)
  row = models.VARIANTS[name]
  network = torch_van.TorchVAN(row.widths, row.depths, row.ffn_ratios)
  for key, value in network.state_dict().items():
    if "layer_scale" in key:
      value.uniform_(0.01, 0.1)
    elif value.ndim == 1 and key.endswith("weight"):
      value.uniform_(0.5, 1.5)
    elif key.endswith("bias"):
      value.normal_(std=0.2)
  for module in network.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
      module.momentum = 1.0
  with torch.no_grad():
    network.train()(torch.randn(4, 3, 64, 64))
  state = {key: value.numpy() for key, value in network.state_dict().items()}
  published.write_official(path, state)


@pytest.mark.parametrize(
  ("name", "size"),
  [
    ("van_b0", 224),
    ("van_b1", 64),
    ("van_b2", 64),
  ],
)
def test_logits_are_pytorchs(name, size, tmp_path):
  write_realistic(name, tmp_path / "w")
  bundle = conversion.read_weights(tmp_path / "w")
  assert models.variant_name(bundle.model) == name
  report = verification.verify(
    # XLA's own convolutions compile in half the time.
    dataclasses.replace(bundle.model, implementation="xla"),
    bundle.variables,
    official_arrays.read(tmp_path / "w", averaged=False),
    images=dict(list(photographs.read(None).items())[:1]),
    preprocessing=dataclasses.replace(
      bundle.preprocessing, image_size=size, resize_size=size
    ),
  )
  logits = report["outputs"]["logits"]
  # float32 keeps 6e-8 of each number; a thousand layers and sums make 1e-5.
  assert logits["torch_flax"]["max"] < 1e-4 * logits["spread"]
  # What is left is rounding: both are as far from float64 as from each other.
  assert logits["torch_float64"]["max"] < 1e-4 * logits["spread"]
  assert logits["flax_float64"]["max"] < 1e-4 * logits["spread"]
  assert logits["spread"] > 0.1
