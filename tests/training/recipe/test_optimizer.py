"""Claims about AdamW, against PyTorch's, and about its parameter groups."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
import torch

from van_jax import models
from van_jax.training.recipe import optimizers as optimizer

OFFICIAL: dict[str, Any] = {
  "schedule": lambda count: 1e-3,
  "beta1": 0.9,
  "beta2": 0.999,
  "epsilon": 1e-8,
  "weight_decay": 0.05,
  "gradient_clip_norm": None,
  "layer_decay": None,
  "frozen_patterns": (),
}


@pytest.fixture(scope="module")
def params():
  """Returns small arrays under names of a VAN of depths 2, 1."""
  names = [
    "patch_embed1/proj",
    "block1_0/attn/proj_1",
    "block1_1/attn/proj_1",
    "norm1",
    "patch_embed2/proj",
    "block2_0/attn/proj_1",
    "norm2",
    "head",
  ]
  generator = np.random.default_rng(0)
  tree = {}
  for name in names:
    branch = tree
    for part in name.split("/"):
      branch = branch.setdefault(part, {})
    # Small, so that rounding of the sums does not hide the updates.
    branch["bias"] = jnp.asarray(generator.normal(0, 0.02, 4), jnp.float32)
    if not name.startswith("norm"):
      kernel = generator.normal(0, 0.02, (3, 4))
      branch["kernel"] = jnp.asarray(kernel, jnp.float32)
  return tree


def gradients_of(params, step):
  """Returns gradients whose sizes go from 1 to the epsilon of AdamW."""
  generator = np.random.default_rng(step + 1)
  scale = np.array([1, 1e-2, 1e-6, 1e-8])

  def draw(p):
    return jnp.asarray(generator.normal(size=p.shape) * scale, jnp.float32)

  return jax.tree.map(draw, params)


def create(**options) -> Any:
  """Returns the official optimizer with some options changed."""
  return optimizer.create_optimizer(**{**OFFICIAL, **options})


def train(params: Any, *, steps, **options) -> tuple[Any, Any]:
  """Returns the parameters after `steps` updates, and the last state."""
  tx = create(**options)
  state = tx.init(params)
  update = jax.jit(tx.update)
  for step in range(steps):
    updates, state = update(gradients_of(params, step), state, params)
    params = optax.apply_updates(params, updates)
  return params, state


def torch_train(params, *, steps, schedule, clip_norm=None):
  """Returns the leaves after training by torch, in float64."""
  leaves = [
    torch.nn.Parameter(torch.from_numpy(np.array(p, np.float64)))
    for p in jax.tree.leaves(params)
  ]
  groups = [
    {"params": [p for p in leaves if p.ndim == 1], "weight_decay": 0.0},
    {"params": [p for p in leaves if p.ndim > 1], "weight_decay": 0.05},
  ]
  adamw = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)
  for step in range(steps):
    gradients = jax.tree.leaves(gradients_of(params, step))
    for leaf, gradient in zip(leaves, gradients, strict=True):
      leaf.grad = torch.from_numpy(np.array(gradient, np.float64))
    if clip_norm:
      torch.nn.utils.clip_grad_norm_(leaves, clip_norm)
    for group in adamw.param_groups:
      group["lr"] = schedule(step)
    adamw.step()
  return [leaf.detach().numpy() for leaf in leaves]


def assert_same_course(start, got, expected, rtol):
  """Asserts that each leaf moved as expected, relative to its movement."""
  leaves = map(jax.tree.leaves, (start, got))
  for before, after, right in zip(*leaves, expected, strict=True):
    moved = right - np.asarray(before)
    error = np.abs(after - right).max() / np.abs(moved).max()
    assert error < rtol


# Two errors. optax takes 1 - 0.999 ** count in float32: 1.3e-8 off, 1.3e-5 of
# the first second moment, half of that in an update. And parameters up to 0.1
# are rounded at 4e-9 an update: 7e-5 of the first, which moves them by 5e-5,
# but 1e-6 of the course of twenty.
@pytest.mark.parametrize(("steps", "rtol"), [(1, 1e-4), (20, 1.2e-5)])
def test_adamw_equals_torch(params, steps, rtol):
  def schedule(count):
    return 1e-3 * (1 + count) / 20

  got, _ = train(params, steps=steps, schedule=schedule)
  expected = torch_train(params, steps=steps, schedule=schedule)
  assert_same_course(params, got, expected, rtol)


def test_clipping_equals_torch(params):
  got, _ = train(params, steps=5, gradient_clip_norm=0.5)
  expected = torch_train(
    params, steps=5, schedule=lambda count: 1e-3, clip_norm=0.5
  )
  # As above; torch's norm + 1e-6 adds 3e-7 at a norm of 3.
  assert_same_course(params, got, expected, rtol=1.2e-5)
  free, _ = train(params, steps=5)
  assert not jnp.allclose(
    free["head"]["kernel"], got["head"]["kernel"], rtol=0, atol=1e-5
  )


def test_clip_norm_zero_is_off(params):
  got, _ = train(params, steps=2, gradient_clip_norm=0.0)
  expected, _ = train(params, steps=2, gradient_clip_norm=None)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, got, expected))


def test_weight_decay_spares_parameters_of_one_dimension(params):
  tx = create(weight_decay=0.1)
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = tx.update(zeros, tx.init(params), params)
  head = updates["head"]
  assert not head["bias"].any()
  np.testing.assert_allclose(
    head["kernel"], -1e-3 * 0.1 * params["head"]["kernel"], rtol=1e-6
  )


def test_the_rate_is_the_schedule_at_the_updates_done_before(params):
  # Updates of 1 or -1 times the rate: Adam's first, of gradients of one.
  tx = create(weight_decay=0.0, schedule=lambda n: 1.0 + n)
  ones = jax.tree.map(jnp.ones_like, params)
  state = tx.init(params)
  for step in range(3):
    updates, state = tx.update(ones, state, params)
    np.testing.assert_allclose(
      updates["head"]["bias"], -(1.0 + step), rtol=1e-4
    )


def test_layer_scales_follow_the_network(params):
  scales = optimizer.layer_scales(params, 0.5)
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


def test_layer_scales_count_blocks_as_numbers():
  tree = {f"block1_{j}": jnp.zeros(1) for j in range(12)}
  scales = optimizer.layer_scales(tree, 0.5)
  assert [scales[f"block1_{j}"] for j in range(12)] == [
    0.5 ** (12 - j) for j in range(12)
  ]


def test_layer_decay_scales_updates_and_decay_alike(params):
  flat, _ = train(params, steps=1)
  got, _ = train(params, steps=1, layer_decay=0.5)
  for name, scale in {"head": 1.0, "patch_embed1": 1 / 16}.items():
    before, full, part = (
      jax.tree.leaves(tree[name]) for tree in (params, flat, got)
    )
    for b, f, p in zip(before, full, part, strict=True):
      # Differences of sums of 0.05: 4e-9 each, updates of 1e-3.
      np.testing.assert_allclose(p - b, (f - b) * scale, atol=1e-8)


def test_layer_decay_one_is_off(params):
  got, _ = train(params, steps=2, layer_decay=1.0)
  expected, _ = train(params, steps=2)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, got, expected))


def test_frozen_parameters_stay_and_the_others_train(params):
  got, _ = train(params, steps=3, frozen_patterns=["block1_.*", "norm1/.*"])
  for name, branch in params.items():
    same = jax.tree.map(jnp.array_equal, branch, got[name])
    frozen = name in ("block1_0", "block1_1", "norm1")
    assert set(jax.tree.leaves(jax.tree.map(bool, same))) == {frozen}, name


def test_frozen_parameters_have_no_moments(params):
  _, state = train(params, steps=1, frozen_patterns=["(?!head/).*"])
  moments = [x for x in jax.tree.leaves(state) if x.ndim]
  # First and second moment of head/bias and head/kernel.
  assert sorted(x.shape for x in moments) == [(3, 4), (3, 4), (4,), (4,)]


def test_a_pattern_matches_whole_paths():
  tree = {"proj": jnp.zeros(1), "proj_1": jnp.zeros(1)}
  labels = optimizer.freeze_labels(tree, ["proj"])
  assert labels == {"proj": "frozen", "proj_1": "trained"}


def test_frozen_gradients_do_not_count_in_the_clipped_norm(params):
  options = {"gradient_clip_norm": 1.0, "frozen_patterns": ["(?!head/).*"]}
  tx = create(**options)
  gradients = gradients_of(params, 0)
  huge = jax.tree.map(lambda g: g * 1e6, gradients) | {
    "head": gradients["head"]
  }
  got, _ = tx.update(huge, tx.init(params), params)
  expected, _ = tx.update(gradients, tx.init(params), params)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, got, expected))


def test_freezing_leaves_the_layers_of_the_others_as_they_are(params):
  part, _ = train(
    params, steps=1, layer_decay=0.5, frozen_patterns=["block1_0/.*"]
  )
  full, _ = train(params, steps=1, layer_decay=0.5)
  del part["block1_0"], full["block1_0"]
  assert jax.tree.all(jax.tree.map(jnp.array_equal, part, full))


def test_a_pattern_that_matches_nothing_names_the_nearest(params):
  tx = create(frozen_patterns=["head/.*", "block1_0/atn/proj_1"])
  with pytest.raises(ValueError, match="'block1_0/atn/proj_1'") as error:
    jax.eval_shape(tx.init, params)
  assert "Nearest: block1_0/attn/proj_1/" in str(error.value)
  assert "Top-level names: block1_0, block1_1, block2_0" in str(error.value)


def test_freezing_everything_is_an_error(params):
  tx = create(frozen_patterns=[".*"])
  with pytest.raises(ValueError, match="freeze every parameter"):
    tx.init(params)


def test_a_string_for_the_patterns_is_an_error(params):
  with pytest.raises(ValueError, match="must be a sequence"):
    create(frozen_patterns="head/.*")


def test_a_pattern_that_is_no_regular_expression_is_an_error(params):
  with pytest.raises(ValueError, match=r"frozen_patterns.*'head/\('"):
    create(frozen_patterns=["head/("])


def test_layer_decay_of_an_unknown_layer_is_an_error():
  tx = create(layer_decay=0.9)
  with pytest.raises(ValueError, match=r"no layer for the .* of 'stem'"):
    jax.eval_shape(tx.init, {"stem": jnp.zeros(3), "head": jnp.zeros(3)})


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("beta1", 1.0),
    ("beta2", -0.1),
    ("epsilon", 0.0),
    ("weight_decay", -0.05),
    ("gradient_clip_norm", -1.0),
    ("layer_decay", 0.0),
    ("layer_decay", 1.5),
  ],
)
def test_a_value_out_of_range_is_an_error_with_its_name(field, value):
  with pytest.raises(ValueError, match=f"optimizer.{field}={value}"):
    create(**{field: value})


def test_state_survives_a_checkpoint(params, tmp_path):
  options = {
    "gradient_clip_norm": 5.0,
    "layer_decay": 0.9,
    "frozen_patterns": ["head/.*"],
  }
  _, state = train(params, steps=2, **options)
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(tmp_path / "state", state)
    checkpointer.wait_until_finished()
    restored = checkpointer.restore(
      tmp_path / "state",
      jax.tree.map(ocp.utils.to_shape_dtype_struct, state),
    )
  assert jax.tree.structure(restored) == jax.tree.structure(state)
  assert jax.tree.all(jax.tree.map(jnp.array_equal, restored, state))


def test_every_parameter_of_van_b0_has_a_layer_and_a_group():
  model = models.create_model("van_b0", num_classes=10)
  variables = jax.eval_shape(
    lambda: model.init(
      jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False
    )
  )
  params = variables["params"]
  scales = optimizer.layer_scales(params, 0.9)
  # 3 + 3 + 5 + 2 blocks, patch_embed1 below and the head above.
  assert set(jax.tree.leaves(scales)) == {0.9**k for k in range(15)}
  decayed, _ = jax.tree_util.tree_flatten_with_path(optimizer.decays(params))
  names = {str(path[-1].key) for path, decays in decayed if decays}
  assert names == {"kernel"}
  assert {str(path[-1].key) for path, decays in decayed if not decays} == {
    "bias",
    "scale",
    "layer_scale_1",
    "layer_scale_2",
  }
