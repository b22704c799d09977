"""Each attention against an independent one in PyTorch, on the same weights.

In float64 the two must agree to rounding: they are the same function. The
weights go through the official names, and so prove those as well.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import traverse_util

from van_jax import models
from van_jax.interop.names import key_tables, keys
from van_jax.interop.proof.torch_van import TorchVAN

WIDTHS, DEPTHS, RATIOS, CLASSES = (4, 6, 8, 10), (1, 1, 1, 1), (2, 1, 1, 2), 5
BATCH, SIZE = 4, 64  # Stages of 16, 8, 4 and 2 pixels a side.
OFFICIAL = keys.Dialect(key_tables.OFFICIAL, "")

ATTENTIONS: Any = [
  {"name": "lka"},
  {"name": "lska"},
  {"name": "lska", "kernel_size": 11, "dilation": 2},
  {"name": "msca"},
  {"name": "msca", "kernel_sizes": (3, 5)},
]


def torch_model(attention) -> TorchVAN:
  """Returns the model in float64, weights such as training leaves behind."""
  torch.manual_seed(0)
  model = TorchVAN(
    WIDTHS, DEPTHS, RATIOS, num_classes=CLASSES, attention=attention
  )
  for name, value in model.state_dict().items():
    if "layer_scale" in name or "running_var" in name:
      value.uniform_(0.5, 1)
    elif "running_mean" in name or "bias" in name:
      value.normal_(0, 0.2)
  return model.double()


def here(named) -> dict[str, np.ndarray]:
  """Returns tensors by our paths, in our layout."""
  entries = keys.entries_of_keys(named, OFFICIAL)
  counters = {key for key in named if keys.is_counter(key)}
  assert entries.keys() == named.keys() - counters
  return {
    entry.path: entry.array.layout.here(named[key].detach().numpy())
    for key, entry in entries.items()
  }


@pytest.mark.parametrize("attention", ATTENTIONS, ids=str)
def test_outputs_and_gradients_equal_torchs(attention):
  theirs = torch_model(attention)
  rng = np.random.default_rng(1)
  images = rng.standard_normal((BATCH, SIZE, SIZE, 3))
  weights = rng.standard_normal((BATCH, CLASSES))
  logits = theirs.eval()(torch.from_numpy(images).permute(0, 3, 1, 2))
  torch.sum(logits * torch.from_numpy(weights)).backward()
  gradients = here({n: p.grad for n, p in theirs.named_parameters()})

  with jax.enable_x64(True):
    ours: Any = models.VAN(
      WIDTHS, DEPTHS, RATIOS, CLASSES, attention=attention,
      dtype=jnp.float64, implementation="xla",
    )  # fmt: skip
    variables: Any = traverse_util.unflatten_dict(
      here(theirs.state_dict()), sep="/"
    )

    @jax.jit
    def run(params):
      found = ours.apply(variables | {"params": params}, images, train=False)
      return jnp.sum(found * weights), found

    (_, found), slopes = jax.value_and_grad(run, has_aux=True)(
      variables["params"]
    )
  # 6e-16 a rounding, some hundred of them one after another; sums of up to
  # 1,024 positions.
  np.testing.assert_allclose(found, logits.detach().numpy(), rtol=1e-11)
  found: Any = traverse_util.flatten_dict({"params": slopes}, sep="/")
  assert found.keys() == gradients.keys()
  for name, expected in gradients.items():
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
      np.asarray(found[name]),
      expected,
      rtol=0,
      atol=1e-11 * scale,
      err_msg=name,
    )


@pytest.mark.parametrize(
  ("attention", "taps"),
  [("lska", 2 * (5 + 1) + 2 * (7 + 1)), ("msca", 26 + 16 + 24 + 44)],
)
def test_parameters_a_channel_are_the_closed_forms(attention, taps):
  unit = models.ATTENTIONS[attention]()
  for channels in (8, 24):
    x = jax.ShapeDtypeStruct((1, 8, 8, channels), jnp.float32)
    shapes: Any = jax.eval_shape(unit.init, jax.random.key(0), x)
    leaves = jax.tree.leaves(shapes["params"])
    pointwise = channels * channels + channels
    assert sum(leaf.size for leaf in leaves) == channels * taps + pointwise
