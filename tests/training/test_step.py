"""The training step: invariants of devices, micro-batches and time."""

import functools

import jax
import numpy as np
import optax
import pytest

from van_jax import parallel
from van_jax.data.images import normalization
from van_jax.training import randomness, state as state_lib, step as step_lib
from van_jax.training.recipe import ema, freezing, losses, smoothing


def mesh_of(count):
  return parallel.create_mesh(jax.devices()[:count])


def prepare(key, batch):
  del key
  half = (0.5, 0.5, 0.5)
  images = normalization.normalize(batch["image"], mean=half, std=half)
  # Targets may be any tree; a task with boxes or masks has several.
  return images, {"rows": smoothing.smooth_one_hot(batch["label"], 5, 0.1)}


def loss(outputs, targets):
  value = losses.soft_cross_entropy(outputs, targets["rows"])
  return value, {"size": outputs.mean()}


def one_update(model, batch, *, devices=1, optimizer=None, **options):
  """Returns the state and the metrics after one step from a fixed start."""
  mesh = mesh_of(devices)
  optimizer = optimizer or optax.sgd(1.0)
  key = jax.random.key(0)

  def create():
    images = jax.numpy.zeros((1, 32, 32, 3))
    variables = model.init(
      randomness.stream(key, "init", 0), images, train=False
    )
    return state_lib.create_state(variables, optimizer, ema=True)

  whole = parallel.replicated(mesh)
  train_step = step_lib.make_train_step(
    apply=model.apply,
    optimizer=optimizer,
    schedule=optax.constant_schedule(1.0),
    prepare=prepare,
    loss=loss,
    root_key=key,
    mesh=mesh,
    average=lambda old, new, step: ema.update_ema(old, new, 0.5),
    **options,
  )
  state = jax.jit(create, out_shardings=whole)()
  return train_step(state, parallel.shard_batch(batch, mesh))


def assert_close(one, other, relative):
  """Compares trees leaf by leaf, relative to each leaf's largest entry."""
  for (path, a), b in zip(
    jax.tree_util.tree_leaves_with_path(one),
    jax.tree.leaves(other),
    strict=True,
  ):
    # Biases before a BatchNorm have no gradient but rounding: hence the floor.
    bound = relative * max(np.abs(a).max(), 1e-2)
    np.testing.assert_allclose(
      a, b, rtol=0, atol=bound, err_msg=jax.tree_util.keystr(path)
    )


@pytest.fixture(scope="module")
def plain(narrow_van, batch):
  """Returns the state and the metrics after a step on one device."""
  return one_update(narrow_van(), batch)


@pytest.fixture(scope="module")
def still(narrow_van, batch):
  """Returns those of a step that leaves the parameters where they were."""
  return one_update(narrow_van(), batch, optimizer=optax.sgd(0.0))


@pytest.fixture(scope="module")
def in_parts(narrow_van, batch):
  """Returns those of a step in four micro-batches."""
  return one_update(narrow_van(), batch, accumulation_steps=4)


# With SGD at rate 1 the update is the gradient, so that equal parameters are
# equal gradients. Sums over 16 examples in another order: a few float32
# roundings (6e-8) of terms larger than their sum; measured 2e-6.
ROUNDING = 2e-5


def test_eight_devices_agree_with_one(narrow_van, batch):
  model = narrow_van(drop_path_rate=0.3)
  one, one_metrics = one_update(model, batch, devices=1)
  eight, eight_metrics = one_update(model, batch, devices=8)
  assert_close(one_metrics, eight_metrics, ROUNDING)
  assert_close(one.params, eight.params, ROUNDING)
  assert_close(one.batch_stats, eight.batch_stats, ROUNDING)
  assert_close(one.ema, eight.ema, ROUNDING)


@pytest.fixture(scope="module")
def in_groups(narrow_van, batch):
  """Returns those of a step whose statistics are of four images each."""
  return one_update(narrow_van(batch_norm_group_size=4), batch)


@pytest.mark.parametrize("devices", [1, 2])
def test_accumulation_equals_one_step_with_groups(
  narrow_van, batch, in_groups, in_parts, devices
):
  whole, whole_metrics = in_groups
  parts, parts_metrics = in_parts
  if devices > 1:
    parts, parts_metrics = one_update(
      narrow_van(), batch, devices=devices, accumulation_steps=4
    )
  assert_close(whole_metrics, parts_metrics, ROUNDING)
  assert_close(whole.params, parts.params, ROUNDING)
  assert_close(whole.batch_stats, parts.batch_stats, ROUNDING)


def test_accumulation_differs_from_one_group(plain, in_parts):
  with pytest.raises(AssertionError):
    assert_close(plain[0].params, in_parts[0].params, ROUNDING)


def test_one_step_counts_one(plain):
  state, metrics = plain
  assert int(state.step) == 1
  assert set(metrics) == {"loss", "size", "grad_norm", "learning_rate"}


def test_average_moves_half_way_to_the_new_weights(plain, still):
  state, start = plain[0], still[0]
  middle = jax.tree.map(lambda a, b: (a + b) / 2, start.params, state.params)
  assert_close(middle, state.ema["params"], 1e-6)  # One rounding of a sum.


def test_micro_batches_draw_their_own_drop_paths(narrow_van, batch):
  same = {name: np.repeat(x[:4], 4, axis=0) for name, x in batch.items()}
  steady, _ = one_update(narrow_van(), same, accumulation_steps=4)
  dropped, _ = one_update(
    narrow_van(drop_path_rate=0.9), same, accumulation_steps=4
  )
  with pytest.raises(AssertionError):
    assert_close(steady.params, dropped.params, ROUNDING)


def test_frozen_parameters_have_no_gradient_and_no_part_in_its_norm(
  narrow_van, batch, still
):
  freeze = functools.partial(freezing.stop_frozen, patterns=["(?!head).*"])
  state, metrics = one_update(narrow_van(), batch, freeze=freeze)
  moved = jax.tree.map(lambda a, b: a - b, state.params, still[0].params)
  assert not any(
    np.any(leaf)
    for name, tree in moved.items()
    if name != "head"
    for leaf in jax.tree.leaves(tree)
  )
  # SGD at rate 1 moves by the gradient; the difference rounds at 6e-8 of the
  # parameters, which are a tenth of it.
  norm = optax.tree.norm(moved["head"])
  np.testing.assert_allclose(metrics["grad_norm"], norm, rtol=1e-5)


def test_a_loss_of_several_numbers_is_refused():
  step = step_lib.make_train_step(
    apply=lambda variables, inputs, **options: (inputs, {}),
    optimizer=optax.sgd(1.0),
    schedule=optax.constant_schedule(1.0),
    prepare=lambda key, batch: (batch["image"], batch["label"]),
    loss=lambda outputs, targets: (outputs.mean(0), {}),
    root_key=jax.random.key(0),
    mesh=mesh_of(1),
  )
  state = state_lib.create_state(
    {"params": {"w": np.zeros(1)}, "batch_stats": {}}, optax.sgd(1.0), ema=False
  )
  batch = {"image": np.zeros((2, 3)), "label": np.zeros(2)}
  with pytest.raises(ValueError, match=r"loss has the shape \(3,\)"):
    jax.eval_shape(step, state, batch)
