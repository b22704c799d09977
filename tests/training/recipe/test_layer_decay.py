"""Claims about the layers of parameters, wherever the VAN lies."""

import jax
import jax.numpy as jnp
import pytest

from van_jax import models
from van_jax.training.recipe import layer_decay, optimizers


def test_layer_scales_follow_the_network(params):
  scales = layer_decay.layer_scales(params, 0.5)
  tops = {name: jax.tree.leaves(branch) for name, branch in scales.items()}
  # Three blocks: the head is layer 4, patch_embed1 layer 0.
  expected = {
    "head": 1.0,
    "norm2": 1 / 2,
    "block2_0": 1 / 2,
    "patch_embed2": 1 / 2,
    "norm1": 1 / 4,
    "block1_1": 1 / 4,
    "block1_0": 1 / 8,
    "patch_embed1": 1 / 16,
  }
  assert {name: set(leaves) for name, leaves in tops.items()} == {
    name: {scale} for name, scale in expected.items()
  }


def test_the_last_norm_learns_with_the_last_block_as_in_timm(params):
  """timm: `(r'^norm', (99999,))`, with the group before; BEiT: at the top."""
  scales = layer_decay.layer_scales(params, 0.5)
  assert scales["norm2"] == {
    "bias": scales["block2_0"]["attn"]["proj_1"]["bias"]
  }
  assert scales["norm2"]["bias"] == scales["head"]["bias"] / 2


def test_layer_scales_count_blocks_as_numbers():
  tree = {f"block1_{j}": jnp.zeros(1) for j in range(12)}
  tree["patch_embed1"] = jnp.zeros(1)
  scales = layer_decay.layer_scales(tree, 0.5)
  assert [scales[f"block1_{j}"] for j in range(12)] == [
    0.5 ** (12 - j) for j in range(12)
  ]


def test_layer_decay_of_an_unknown_layer_is_an_error():
  tx = layer_decay.scale_by_layer(0.9)
  with pytest.raises(ValueError, match=r"no VAN .* below head, stem"):
    jax.eval_shape(tx.init, {"stem": jnp.zeros(3), "head": jnp.zeros(3)})


def test_every_parameter_of_van_b0_has_a_layer_and_a_group():
  model = models.create_model("van_b0", num_classes=10)
  variables = jax.eval_shape(
    lambda: model.init(
      jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False
    )
  )
  params = variables["params"]
  scales = layer_decay.layer_scales(params, 0.9)
  # 3 + 3 + 5 + 2 blocks, patch_embed1 below and the head above.
  assert set(jax.tree.leaves(scales)) == {0.9**k for k in range(15)}
  decayed, _ = jax.tree_util.tree_flatten_with_path(optimizers.decays(params))
  names = {str(path[-1].key) for path, decays in decayed if decays}
  assert names == {"kernel"}
  assert {str(path[-1].key) for path, decays in decayed if not decays} == {
    "bias",
    "scale",
    "layer_scale_1",
    "layer_scale_2",
  }


def test_a_name_beside_the_blocks_that_is_none_of_a_vans_is_an_error(params):
  with pytest.raises(ValueError, match="no layer for the parameters of 'stem'"):
    layer_decay.layer_scales({**params, "stem": jnp.zeros(3)}, 0.9)


@pytest.mark.parametrize("prefix", [("backbone",), ("a", "encoder", "van")])
def test_a_van_has_its_layers_below_any_prefix(params, prefix):
  tree = params
  for name in reversed(prefix):
    tree = {name: tree, "decoder": jnp.zeros(2)}
  scales = layer_decay.layer_scales(tree, 0.5)
  assert set(jax.tree.leaves(scales["decoder"])) == {1.0}
  for name in prefix:
    scales = scales[name]
  assert scales == layer_decay.layer_scales(params, 0.5)


def test_two_vans_have_layers_of_their_own(params):
  shallow = {name: params[name] for name in ("block1_0", "patch_embed1")}
  scales = layer_decay.layer_scales({"one": params, "two": shallow}, 0.5)
  assert scales["one"] == layer_decay.layer_scales(params, 0.5)
  assert set(jax.tree.leaves(scales["two"]["block1_0"])) == {0.5}
  assert set(jax.tree.leaves(scales["two"]["patch_embed1"])) == {0.25}


def test_blocks_without_a_patch_embedding_are_no_van():
  decoder = {"decoder": {"block1_0": jnp.zeros(1)}}
  with pytest.raises(ValueError, match="no VAN"):
    layer_decay.layer_scales(decoder, 0.5)
