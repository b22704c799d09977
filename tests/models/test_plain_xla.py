"""One switch for plain XLA: what it makes possible, and who names it else."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from van_jax import models
from van_jax.models import layers
from van_jax.models.strided import StridedConv

IMAGES = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
NAMED = "take implementation='xla'"


def b0(implementation) -> Any:
  return models.create_model(
    "van_b0", num_classes=3, implementation=implementation
  )


class Stack(nn.Module):
  """A network with each of the operations once, or twice."""

  implementation: str

  @nn.compact
  def __call__(self, x, *, train=False):
    """Maps [B, H, W, 3] to [B, 4]."""
    run: Any = {"implementation": self.implementation}
    x = StridedConv(4, 3, 2, **run)(x)
    x = layers.FeedForward(2, **run)(x, train=train)
    return jnp.mean(layers.Depthwise(5, dilation=2, **run)(x), (1, 2))


def draw(model, shape) -> Any:
  """Returns variables and images, drawn at random."""
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.standard_normal(shape), jnp.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), images)
  return jax.tree.map(
    lambda s: jnp.asarray(rng.standard_normal(s.shape), jnp.float32), shapes
  ), images


def apply(model, variables, images):
  return model.apply(variables, images, train=False)


def scalar(model, variables, images):
  return jnp.sum(jnp.sin(apply(model, variables, images)))


def jvp(run, variables, images):
  tangents = jax.tree.map(jnp.ones_like, (variables, images))
  return jax.jvp(run, (variables, images), tangents)[1]


def jacfwd(run, variables, images):
  def of_factor(factor):
    return run(jax.tree.map(lambda v: v * factor, variables), images)

  return jax.jacfwd(of_factor)(jnp.float32(1))


def gradient_of_gradient(run, variables, images):
  def slope(variables):
    gradients = jax.grad(run)(variables, images)
    return sum(jnp.sum(g) for g in jax.tree.leaves(gradients))

  return jax.grad(slope)(variables)


DERIVATIVES = [jvp, jacfwd, gradient_of_gradient]


@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_b0_has_derivatives_of_any_kind(derivative):
  model = b0("xla")
  variables = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
  derive = functools.partial(derivative, functools.partial(scalar, model))
  text = jax.jit(derive).lower(variables, IMAGES).as_text()
  assert text.count("stablehlo.convolution") > 100


def test_they_are_the_derivatives():
  model = Stack("xla")
  variables, images = draw(model, (2, 6, 6, 3))
  run = functools.partial(scalar, model)
  gradients, of_images = jax.jit(jax.grad(run, (0, 1)))(variables, images)

  def total(tree):
    return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(tree))

  # Sums of some hundred products of order 1 to 10 in float32.
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
  along = jax.jit(functools.partial(jvp, run))(variables, images)
  close(along, total((gradients, of_images)))
  scaled = jax.jit(functools.partial(jacfwd, run))(variables, images)
  close(scaled, total(jax.tree.map(jnp.multiply, gradients, variables)))
  twice = jax.jit(functools.partial(gradient_of_gradient, run))(
    variables, images
  )
  ones = jax.tree.map(jnp.ones_like, variables)
  forward_over_reverse = jax.jit(
    lambda variables, images: jax.jvp(
      lambda v: jax.grad(run)(v, images), (variables,), (ones,)
    )[1]
  )(variables, images)
  jax.tree.map(close, twice, forward_over_reverse)
  assert total(jax.tree.map(jnp.abs, twice)) > 1


def exported(model, images, *platforms) -> Any:
  """Returns the model's program for any batch."""
  (batch,) = export.symbolic_shape("batch")
  variables = jax.eval_shape(model.init, jax.random.key(0), images)
  images = jax.ShapeDtypeStruct((batch, *images.shape[1:]), jnp.float32)
  program = jax.jit(functools.partial(apply, model))
  return export.export(program, platforms=platforms)(variables, images)


def test_b0_exports_for_any_batch_and_platform():
  program = exported(b0("xla"), IMAGES, "cpu", "tpu", "cuda")
  again = export.deserialize(program.serialize())
  assert again.platforms == ("cpu", "tpu", "cuda")
  assert str(again.out_avals[0].shape) == "(batch, 3)"


def test_what_is_exported_is_the_model():
  model = Stack("xla")
  variables, images = draw(model, (3, 6, 6, 3))
  program = exported(model, images, "cpu")
  expected = jax.jit(functools.partial(apply, model))(variables, images)
  for batch in (3, 1):
    ours = program.call(variables, images[:batch])
    # The same operations, in programs for other sizes.
    np.testing.assert_allclose(ours, expected[:batch], rtol=1e-4, atol=1e-4)


def table(model, depth, flops):
  return model.tabulate(
    jax.random.key(0),
    jnp.zeros(IMAGES.shape),
    depth=depth,
    compute_flops=flops,
    compute_vjp_flops=flops,
    console_kwargs={"width": 300, "force_terminal": False},
  ).splitlines()


def test_tabulate_counts_b0s_flops():
  rows = table(b0("xla"), 1, flops=True)
  (row,) = (row for row in rows if "│ block1_0 " in row)
  flops, vjp_flops = (int(cell) for cell in row.split("│")[5:7])
  assert 3 * flops > vjp_flops > flops > 10**6


@pytest.mark.parametrize("implementation", ["auto", "xla"])
def test_tabulate_shows_the_layers_that_share_an_operation(implementation):
  rows = table(b0(implementation), 3, flops=False)
  for layer in ("fc1", "dwconv", "fc2"):
    assert any(f"│ block1_0/mlp/{layer} " in row for row in rows)


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("implementation", ["auto", "shifted_sum"])
def test_others_name_the_switch_for_derivatives(
  derivative, compiled, implementation
):
  model = Stack(implementation)
  derive = functools.partial(derivative, functools.partial(scalar, model))
  with pytest.raises(ValueError, match=NAMED):
    (jax.jit(derive) if compiled else derive)(*draw(model, (2, 6, 6, 3)))


def test_auto_names_the_switch_for_a_hessian_of_a_batch():
  model = Stack("auto")
  variables, images = draw(model, (2, 6, 6, 3))
  hessian = jax.hessian(lambda x: scalar(model, variables, x[None]))
  with pytest.raises(ValueError, match=NAMED):
    jax.vmap(hessian)(images)


def test_auto_names_the_switch_for_any_batch():
  with pytest.raises(ValueError, match=f"all sizes.*{NAMED}"):
    exported(Stack("auto"), jnp.zeros((1, 6, 6, 3)), "cpu")


def test_gradients_under_auto_survive_remat_scan_and_vmap():
  model = Stack("auto")
  variables, images = draw(model, (2, 6, 6, 3))
  plain = jax.jit(jax.grad(functools.partial(scalar, model)))

  def summed(variables, images):
    @jax.checkpoint
    def one(total, image):
      return total + scalar(model, variables, image[None]), None

    return jax.lax.scan(one, 0.0, images)[0]

  def mapped(variables, images):
    one = functools.partial(scalar, model, variables)
    return jnp.sum(jax.vmap(lambda image: one(image[None]))(images))

  for run in (summed, mapped):
    jax.tree.map(
      # The same sums of some hundred products, in another order.
      functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4),
      jax.jit(jax.grad(run))(variables, images),
      plain(variables, images),
    )
