"""A state that is split over devices: the same numbers, and less of each."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from processes_worker import Network, batch_of

from van_jax import parallel
from van_jax.evaluation import evaluator
from van_jax.training import randomness, state as state_lib, step as step_lib
from van_jax.training.recipe import ema

KEY = jax.random.key(0)
# Sums over examples in another order; see test_step.py.
ROUNDING = 2e-5


def loss(outputs, labels):
  losses = optax.softmax_cross_entropy_with_integer_labels(outputs, labels)
  return losses.mean(), {}


def update(mesh, **options):
  """Returns the state and the metrics after a step, and the score of both."""
  model, batch = Network(), batch_of(0)
  optimizer = optax.sgd(1.0, momentum=0.9)  # Parameters move by gradients.

  def create():
    key = randomness.stream(KEY, "init", 0)
    variables: Any = model.init(key, jnp.zeros((1, 8, 8, 3)), train=False)
    return state_lib.create_state(variables, optimizer, ema=True)

  shardings = parallel.state_shardings(jax.eval_shape(create), mesh)
  state = jax.jit(create, out_shardings=shardings)()
  step = step_lib.make_train_step(
    apply=model.apply,
    optimizer=optimizer,
    schedule=optax.constant_schedule(1.0),
    prepare=lambda key, batch: (batch["image"], batch["label"]),
    loss=loss,
    root_key=KEY,
    mesh=mesh,
    average=lambda old, new, step: ema.update_ema(old, new, 0.5),
    **options,
  )
  placed = parallel.shard_batch(batch, mesh)
  program = step.lower(state, placed).compile()
  state, metrics = program(state, placed)
  for leaf, sharding in zip(
    jax.tree.leaves(state), jax.tree.leaves(shardings), strict=True
  ):
    assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
  evaluate = evaluator.make_eval_step(
    apply=model.apply,
    inputs=lambda batch: batch["image"],
    sums=lambda outputs, batch: {"loss": loss(outputs, batch["label"])[0]},
    mesh=mesh,
  )
  scores = evaluate(state.variables(averaged=True), placed)
  held = parallel.shard_bytes(state)
  return jax.device_get((state, metrics, scores)), held, program.as_text()


@pytest.fixture(scope="module")
def whole():
  return update(parallel.create_mesh())


@pytest.mark.parametrize("fsdp", [8, 4])
def test_a_split_state_learns_and_scores_what_a_whole_one_does(whole, fsdp):
  ours, held, text = update(parallel.create_mesh(fsdp=fsdp))
  print(f"bytes of state a device: {whole[1]} whole, {held} over {fsdp}")
  assert held < 0.5 * whole[1]  # Of this network half is in small arrays.
  assert "all-gather" in text  # Of parameters...
  for name in ("all-to-all", "collective-permute"):
    assert name not in text  # ... and nothing of activations.
  for (path, a), b in zip(
    jax.tree_util.tree_leaves_with_path(ours),
    jax.tree.leaves(whole[0]),
    strict=True,
  ):
    # Biases before a BatchNorm have no gradient but rounding: hence the floor.
    bound = ROUNDING * max(np.abs(b).max(), 1e-2)
    np.testing.assert_allclose(
      a, b, rtol=0, atol=bound, err_msg=jax.tree_util.keystr(path)
    )


def test_micro_batches_of_a_split_state_are_those_of_a_whole_one():
  states = [
    update(parallel.create_mesh(fsdp=fsdp), accumulation_steps=2)[0][0]
    for fsdp in (1, 4)
  ]
  for a, b in zip(*map(jax.tree.leaves, states), strict=True):
    bound = ROUNDING * max(np.abs(b).max(), 1e-2)
    np.testing.assert_allclose(a, b, rtol=0, atol=bound)
