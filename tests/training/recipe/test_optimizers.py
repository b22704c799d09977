"""Claims about optimizers, against PyTorch's and optax's, and their groups."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
import torch

from van_jax.training.recipe import optimizers

OFFICIAL: dict[str, Any] = {
  "schedule": lambda count: 1e-3,
  "weight_decay": 0.05,
  "gradient_clip_norm": None,
  "layer_decay": None,
  "frozen_patterns": (),
}


def gradients_of(params, step):
  """Returns gradients whose sizes go from 1 to the epsilon of AdamW."""
  generator = np.random.default_rng(step + 1)
  scale = np.array([1, 1e-2, 1e-6, 1e-8])

  def draw(p):
    return jnp.asarray(generator.normal(size=p.shape) * scale, jnp.float32)

  return jax.tree.map(draw, params)


def create(**options) -> Any:
  """Returns the official optimizer with some options changed."""
  return optimizers.create_optimizer(**{**OFFICIAL, **options})


def train(params: Any, *, steps, **options) -> tuple[Any, Any]:
  """Returns the parameters after `steps` updates, and the last state."""
  tx = create(**options)
  state = tx.init(params)
  update = jax.jit(tx.update)
  for step in range(steps):
    updates, state = update(gradients_of(params, step), state, params)
    params = optax.apply_updates(params, updates)
  return params, state


def torch_adamw(groups):
  return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)


def torch_train(params, *, steps, schedule, clip_norm=None, rule=torch_adamw):
  """Returns the leaves after training by torch, in float64."""
  leaves = [
    torch.nn.Parameter(torch.from_numpy(np.array(p, np.float64)))
    for p in jax.tree.leaves(params)
  ]
  groups = [
    {"params": [p for p in leaves if p.ndim == 1], "weight_decay": 0.0},
    {"params": [p for p in leaves if p.ndim > 1], "weight_decay": 0.05},
  ]
  optimizer = rule(groups)
  for step in range(steps):
    gradients = jax.tree.leaves(gradients_of(params, step))
    for leaf, gradient in zip(leaves, gradients, strict=True):
      leaf.grad = torch.from_numpy(np.array(gradient, np.float64))
    if clip_norm:
      torch.nn.utils.clip_grad_norm_(leaves, clip_norm)
    for group in optimizer.param_groups:
      group["lr"] = schedule(step)
    optimizer.step()
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


@pytest.mark.parametrize(
  ("name", "field", "value"),
  [
    ("adamw", "beta1", 1.0),
    ("adamw", "beta2", -0.1),
    ("adamw", "epsilon", 0.0),
    ("lion", "beta1", 1.0),
    ("lamb", "epsilon", -1e-6),
    ("sgd", "momentum", 1.0),
    ("adafactor", "decay_rate", 0.0),
  ],
)
def test_an_option_out_of_range_is_an_error_with_its_name(name, field, value):
  with pytest.raises(ValueError, match=f"optimizer.options.{field}={value}"):
    create(name=name, options={field: value})


def test_the_state_of_adamw_is_what_older_checkpoints_hold(params):
  options = {"gradient_clip_norm": 1.0, "layer_decay": 0.9}
  empty, count = optax.EmptyState(), jnp.zeros((), jnp.int32)
  adam = optax.ScaleByAdamState(count, params, params)
  decayed = optax.MaskedState(empty)
  rate = optax.ScaleByScheduleState(count)
  chain = (empty, adam, decayed, rate)
  state = create(**options).init(params)
  assert jax.tree.structure(state) == jax.tree.structure((chain, empty))


# By name: our options, and what optax gives itself, with weight decay 0.05 of
# kernels at a rate of 1e-3. optax.adafactor decays without the rate.
ALIASES: dict[str, Any] = {
  "lion": (
    {"beta1": 0.8, "beta2": 0.95},
    optax.lion(1e-3, 0.8, 0.95, weight_decay=0.05, mask=optimizers.decays),
  ),
  "lamb": (
    {"beta2": 0.99, "epsilon": 1e-5},
    optax.lamb(
      1e-3, 0.9, 0.99, 1e-5, weight_decay=0.05, mask=optimizers.decays
    ),
  ),
  "adafactor": (
    {"min_dim_size_to_factor": 2},
    optax.adafactor(
      1e-3,
      min_dim_size_to_factor=2,
      weight_decay_rate=0.05 * 1e-3,
      weight_decay_mask=optimizers.decays,
    ),
  ),
}


@pytest.mark.parametrize("name", ALIASES)
def test_a_row_equals_what_optax_gives_under_its_name(params, name):
  options, alias = ALIASES[name]
  got, _ = train(params, steps=5, name=name, options=options)
  expected: Any = params
  state = alias.init(params)
  for step in range(5):
    updates, state = alias.update(gradients_of(params, step), state, expected)
    expected = optax.apply_updates(expected, updates)
  # The same sums of parameters up to 0.1, the rate multiplied in earlier or
  # later: 4e-9 an update of some 1e-3.
  assert_same_course(
    params, got, map(np.asarray, jax.tree.leaves(expected)), 1e-4
  )


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_equals_torch(params, nesterov):
  def rule(groups):
    return torch.optim.SGD(groups, lr=1e-3, momentum=0.9, nesterov=nesterov)

  got, _ = train(params, steps=10, name="sgd", options={"nesterov": nesterov})
  expected = torch_train(
    params, steps=10, schedule=lambda count: 1e-3, rule=rule
  )
  # Gradients of 1e-8 move a parameter by less than it is rounded: 4e-9 an
  # update, of the largest movement of a leaf, 1e-2.
  assert_same_course(params, got, expected, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_every_row_has_clipping_layer_decay_and_freezing_around_it(
  params, name
):
  whole = {"name": name, "layer_decay": 0.5, "gradient_clip_norm": 1.0}
  full, _ = train(params, steps=2, **whole)
  part, _ = train(params, steps=2, **whole, frozen_patterns=["norm1/.*"])
  assert jax.tree.all(
    jax.tree.map(jnp.array_equal, part["norm1"], params["norm1"])
  )
  free, _ = train(params, steps=1, name=name)
  halved, _ = train(params, steps=1, name=name, layer_decay=0.5)
  for before, f, h in zip(
    *(jax.tree.leaves(t["block1_1"]) for t in (params, free, halved)),
    strict=True,
  ):
    # Layer 2 of 4; differences of sums up to 0.1, rounded at 4e-9.
    np.testing.assert_allclose(h - before, (f - before) / 4, atol=1e-8)
  assert not jnp.array_equal(full["head"]["kernel"], params["head"]["kernel"])


def test_an_unknown_name_is_an_error_with_the_nearest():
  with pytest.raises(ValueError, match=r"optimizer.name='lyon' .* lion, "):
    create(name="lyon")


def test_an_option_of_another_row_is_an_error_with_the_nearest():
  match = r"optimizer.options.momentun .*did you mean momentum\?.*nesterov"
  with pytest.raises(ValueError, match=match):
    create(name="sgd", options={"momentun": 0.8})
  with pytest.raises(ValueError, match=r"options.epsilon is no option of"):
    create(name="lion", options={"epsilon": 1e-8})


def sign_descent(decay, *, size=1.0):
  """Stands for a stranger's optimizer: a step of one size."""
  return [
    decay,
    optax.stateless(lambda u, _: jax.tree.map(lambda x: size * jnp.sign(x), u)),
  ]


def test_a_strangers_row_is_named_by_its_import_path(params):
  got, _ = train(
    params,
    steps=1,
    name=f"{__name__}:sign_descent",
    options={"size": 2.0},
    weight_decay=0.0,
  )
  moved = jnp.abs(got["head"]["kernel"] - params["head"]["kernel"])
  np.testing.assert_allclose(moved, 2e-3, rtol=1e-5)  # Rounded at 4e-9.


@pytest.mark.parametrize(
  ("field", "value"),
  [
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
