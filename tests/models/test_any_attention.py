"""What a network can do, it can with any attention."""

import functools
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stranger

from van_jax import models
from van_jax.training.recipe import freezing, layer_decay

ATTENTIONS: Any = {
  "lka": {"name": "lka", "kernel_size": 6, "dilation": 2},
  "lska": {"name": "lska", "kernel_size": 7, "dilation": 2},
  "msca": {"name": "msca", "kernel_sizes": (3, 5)},
  "stranger": {"name": "stranger:ChannelMixing", "sharpness": 2.0},
}
each_attention = pytest.mark.parametrize("attention", ATTENTIONS)


def small(attention, **overrides) -> Any:
  return models.create_model(
    "van_b0",
    num_classes=4,
    widths=(8, 8, 8, 16),
    depths=(1, 1, 1, 1),
    ffn_ratios=(1, 1, 1, 1),
    layer_scale_init=0.5,
    implementation="xla",
    attention=ATTENTIONS[attention],
    **overrides,
  )


@functools.cache
def images():
  return jax.random.normal(jax.random.key(1), (8, 32, 32, 3))


@functools.cache
def variables(attention):
  return jax.jit(small(attention).init)(jax.random.key(0), images()[:1])


@functools.partial(jax.jit, static_argnames="model")
def step(model, variables, key):
  """Returns loss, gradients and new statistics of one training step."""

  def loss_fn(params):
    logits, new = model.apply(
      variables | {"params": params},
      images(),
      train=True,
      mutable=["batch_stats"],
      rngs={"dropout": key},
    )
    labels = jnp.arange(8) % 4
    chosen = jax.nn.log_softmax(logits)[jnp.arange(8), labels]
    return -jnp.mean(chosen), new["batch_stats"]

  (loss, stats), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
    variables["params"]
  )
  return loss, gradients, stats


def flat(tree) -> Any:
  return flax.traverse_util.flatten_dict(tree, sep="/")


@each_attention
def test_training_learns_eight_images(attention):
  model = small(attention, drop_path_rate=0.1)
  state, losses = variables(attention), []
  for i in range(8):
    loss, gradients, stats = step(model, state, jax.random.key(i))
    losses.append(float(loss))
    params = jax.tree.map(lambda p, g: p - 0.1 * g, state["params"], gradients)
    state = {"params": params, "batch_stats": stats}
  assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("attention", ["lska", "stranger"])
def test_remat_changes_nothing_but_memory(attention):
  key = jax.random.key(3)
  plain = small(attention, drop_path_rate=0.1)
  expected = step(plain, variables(attention), key)
  found = step(plain.clone(remat=True), variables(attention), key)
  # The same operations; XLA may fuse, and so round, them otherwise.
  for a, b in zip(
    jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
  ):
    scale = max(float(jnp.max(jnp.abs(b))), 1e-3)
    np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * scale)


@each_attention
def test_bfloat16_keeps_weights_and_statistics_in_float32(attention):
  model = small(attention, dtype=jnp.bfloat16)
  shapes = jax.eval_shape(model.init, jax.random.key(0), images())
  result = jax.eval_shape(
    functools.partial(step, model), shapes, jax.random.key(0)
  )
  kinds = {x.dtype for x in jax.tree.leaves((shapes, result))}
  assert kinds == {jnp.dtype("float32")}
  maps = jax.eval_shape(
    functools.partial(model.apply, method="features"), shapes, images()
  )
  assert {m.dtype for m in maps} == {jnp.dtype("bfloat16")}


@each_attention
def test_all_of_an_attention_freezes_by_one_pattern(attention):
  params = variables(attention)["params"]
  pattern = "block[0-9]_[0-9]/attn/spatial_gating_unit/.*"
  labels = flat(freezing.freeze_labels(params, [pattern]))
  for name, label in labels.items():
    assert (label == "frozen") == ("spatial_gating_unit" in name), name


@each_attention
def test_layer_decay_knows_the_layer(attention):
  scales = flat(layer_decay.layer_scales(variables(attention)["params"], 0.5))
  blocks: dict[str, set] = {}
  for name, scale in scales.items():
    blocks.setdefault(name.split("/")[0], set()).add(float(scale))
  assert all(len(of_block) == 1 for of_block in blocks.values())
  assert max(blocks["block1_0"]) < min(blocks["block4_0"])


@each_attention
def test_folded_network_is_the_same(attention):
  rng = np.random.default_rng(0)
  trained = {  # Far from 1 and 0.
    name: jnp.asarray(rng.uniform(0.3, 2, x.shape), x.dtype)
    if name.rpartition("/")[2] in ("scale", "var", "bias", "mean")
    else x
    for name, x in flat(variables(attention)).items()
  }
  trained = flax.traverse_util.unflatten_dict(trained, sep="/")
  model = small(attention)
  folded, kernels = models.fold_batch_norm(model, trained)
  expected = jax.jit(model.apply)(trained, images())
  found = jax.jit(folded.apply)(kernels, images())
  # Float32 rounds at 6e-8 a step; 4 blocks here, of some ten steps each.
  spread = float(jnp.std(expected))
  np.testing.assert_allclose(found, expected, atol=2e-5 * spread, rtol=0)
  assert set(kernels) == (
    {"params", "batch_stats"} if attention == "stranger" else {"params"}
  )


def test_a_strangers_file_is_short():
  with open(stranger.__file__) as file:
    assert len(file.readlines()) < 30
