"""The whole network: shapes, invariants, and what it refuses."""

import functools
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import models


def small(**overrides) -> Any:
  fields: dict[str, Any] = {
    "num_classes": 5,
    "layer_scale_init": 0.5,
    # 3x3 and 5x5: quicker to compile.
    "attention": {"name": "lka", "kernel_size": 10, "dilation": 2},
  }
  fields |= overrides
  return models.VAN((8, 8, 16, 16), (1, 1, 2, 1), (2, 2, 2, 2), **fields)


@functools.cache
def forward(model, train=False, method=None):
  """Returns the jitted pass: variables, images -> result and statistics."""

  def run(variables, images):
    return model.apply(
      variables, images, train=train, method=method, mutable=["batch_stats"]
    )

  return jax.jit(run)


@functools.cache
def images(batch=4, height=32, width=32):
  return jax.random.normal(jax.random.key(7), (batch, height, width, 3))


@functools.cache
def variables():
  return jax.jit(small().init)(jax.random.key(0), images(1))


def paths(tree) -> Any:
  return flax.traverse_util.flatten_dict(tree, sep="/")


def assert_trees_close(ours, expected, rtol):
  ours, expected = paths(ours), paths(expected)
  assert ours.keys() == expected.keys()
  for name, value in expected.items():
    scale = max(float(jnp.max(jnp.abs(value))), 1e-3)
    np.testing.assert_allclose(
      ours[name], value, rtol=0, atol=rtol * scale, err_msg=name
    )


def step(model, variables, images, key=None):
  """Returns loss, gradients and new statistics of one training step."""

  def loss_fn(params):
    logits, new = model.apply(
      variables | {"params": params},
      images,
      train=True,
      mutable=["batch_stats"],
      rngs=None if key is None else {"dropout": key},
    )
    return -jnp.mean(jax.nn.log_softmax(logits)[:, 0]), new["batch_stats"]

  (loss, stats), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
    variables["params"]
  )
  return {"loss": loss, "stats": stats, "gradients": gradients}


@pytest.mark.parametrize(
  ("height", "width", "sizes"),
  [
    (32, 32, [(8, 8), (4, 4), (2, 2), (1, 1)]),
    (45, 33, [(12, 9), (6, 5), (3, 3), (2, 2)]),
  ],
)
def test_features_have_strides_4_8_16_32_rounded_up(height, width, sizes):
  maps, _ = forward(small(), method="features")(
    variables(), images(2, height, width)
  )
  widths = (8, 8, 16, 16)
  assert [m.shape for m in maps] == [
    (2, *size, c) for size, c in zip(sizes, widths, strict=True)
  ]


def test_without_classes_the_result_is_the_pooled_last_map():
  headless = small(num_classes=0)
  body = dict(variables())
  body["params"] = {k: v for k, v in body["params"].items() if k != "head"}
  fresh = jax.eval_shape(headless.init, jax.random.key(0), images(1))
  assert fresh["params"].keys() == body["params"].keys()
  x = images(2, 64, 64)
  maps, _ = forward(headless, method="features")(body, x)
  pooled, _ = forward(headless)(body, x)
  np.testing.assert_allclose(pooled, maps[-1].mean((1, 2)), rtol=1e-5)


def test_parameter_names_are_those_of_checkpoints():
  names = set(paths(variables()))
  block = "params/block3_1"
  for name in (
    "params/patch_embed1/proj/kernel",
    "params/patch_embed4/norm/scale",
    "batch_stats/patch_embed2/norm/mean",
    f"{block}/norm1/bias",
    f"{block}/attn/proj_1/kernel",
    f"{block}/attn/spatial_gating_unit/conv0/kernel",
    f"{block}/attn/spatial_gating_unit/conv_spatial/bias",
    f"{block}/attn/spatial_gating_unit/conv1/kernel",
    f"{block}/attn/proj_2/bias",
    f"{block}/mlp/fc1/kernel",
    f"{block}/mlp/dwconv/kernel",
    f"{block}/mlp/fc2/bias",
    f"{block}/layer_scale_1",
    f"{block}/layer_scale_2",
    "batch_stats/block3_1/norm2/var",
    "params/norm4/scale",
    "params/head/kernel",
  ):
    assert name in names


def test_without_layer_scale_only_the_scales_are_missing():
  bare = jax.eval_shape(
    small(layer_scale_init=None).init, jax.random.key(0), images(1)
  )
  missing = set(paths(variables())) - set(paths(bare))
  assert {name.rpartition("/")[2] for name in missing} == {
    "layer_scale_1",
    "layer_scale_2",
  }
  assert set(paths(bare)) < set(paths(variables()))


def test_eight_devices_agree_with_one():
  model = small()
  batch = images(16)
  mesh = Mesh(np.array(jax.devices()), ("batch",))
  run = jax.jit(functools.partial(step, model))
  sharded = run(
    jax.device_put(variables(), NamedSharding(mesh, PartitionSpec())),
    jax.device_put(batch, NamedSharding(mesh, PartitionSpec("batch"))),
  )
  # Sums in another order; BatchNorm's gradient subtracts near-equal ones.
  assert_trees_close(sharded, run(variables(), batch), rtol=2e-5)


def test_remat_changes_nothing_but_memory():
  run = functools.partial(
    step, variables=variables(), images=images(), key=jax.random.key(3)
  )
  options = {"drop_path_rate": 0.5, "dropout_rate": 0.2}
  plain, again = (
    jax.jit(lambda model=model: run(model))()
    for model in (small(**options), small(**options, remat=True))
  )
  assert_trees_close(again, plain, rtol=2e-5)


def test_remat_recomputes_every_block():
  run = functools.partial(step, small(remat=True), variables())
  program = str(jax.make_jaxpr(run)(images()))
  assert program.count("checkpoint[") + program.count("remat2[") >= 5


def test_group_statistics_equal_separate_batches():
  batch = images(6)
  model = small(batch_norm_group_size=2)
  grouped = forward(model, train=True)(variables(), batch)
  parts = [
    forward(small(), train=True)(variables(), part)
    for part in jnp.split(batch, 3)
  ]
  np.testing.assert_allclose(
    grouped[0], jnp.concatenate([y for y, _ in parts]), rtol=1e-4, atol=1e-5
  )
  mean = jax.tree.map(
    lambda *xs: sum(xs) / 3, *(new["batch_stats"] for _, new in parts)
  )
  assert_trees_close(grouped[1]["batch_stats"], mean, rtol=1e-5)


def test_frozen_statistics_are_used_and_kept():
  model = small(batch_norm_frozen=True)
  trained, new = forward(model, train=True)(variables(), images())
  evaluated, _ = forward(small())(variables(), images())
  np.testing.assert_array_equal(trained, evaluated)
  assert_trees_close(new["batch_stats"], variables()["batch_stats"], rtol=0)


def test_bfloat16_keeps_everything_but_the_maps_in_float32():
  model = small(dtype=jnp.bfloat16)
  fresh = jax.eval_shape(model.init, jax.random.key(0), images(1))
  result = jax.eval_shape(functools.partial(step, model), fresh, images())
  kinds = {x.dtype for x in jax.tree.leaves((fresh, result))}
  assert kinds == {jnp.dtype("float32")}
  logits, _ = jax.eval_shape(forward(model), fresh, images())
  assert logits.dtype == jnp.float32
  maps, _ = jax.eval_shape(forward(model, method="features"), fresh, images())
  assert {m.dtype for m in maps} == {jnp.dtype("bfloat16")}


def test_bfloat16_logits_are_near_float32_ones():
  # 8 bits a product, relative to the largest logit; a few layers deep.
  exact, _ = forward(small())(variables(), images())
  near, _ = forward(small(dtype=jnp.bfloat16))(variables(), images())
  difference = jnp.max(jnp.abs(near - exact))
  assert difference < 0.05 * jnp.max(jnp.abs(exact))


def test_drop_path_rates_rise_linearly_over_all_blocks():
  model = small(drop_path_rate=0.4).bind(variables())
  blocks = ("block1_0", "block2_0", "block3_0", "block3_1", "block4_0")
  rates = [getattr(model, name).drop_path_rate for name in blocks]
  np.testing.assert_allclose(rates, [0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
  ("batch", "message"),
  [
    (jnp.zeros((1, 31, 40, 3)), r"\(1, 31, 40, 3\).*at least 32"),
    (jnp.zeros((40, 40, 3)), r"\(40, 40, 3\).*\[B, H, W, 3\]"),
    (jnp.zeros((1, 40, 40, 3), jnp.uint8), "uint8.*floating"),
  ],
)
def test_bad_images_are_named(batch, message):
  with pytest.raises(ValueError, match=message):
    small().apply(variables(), batch, train=False)


def test_batch_that_groups_do_not_divide_is_named():
  model = small(batch_norm_group_size=3)
  with pytest.raises(ValueError, match=r"group_size=3.*4 examples"):
    model.apply(variables(), images(4), train=True, mutable=["batch_stats"])


def test_one_value_a_channel_has_no_variance():
  with pytest.raises(ValueError, match="several values a channel"):
    jax.eval_shape(forward(small(), train=True), variables(), images(1))


@pytest.mark.parametrize(
  ("shape", "message"),
  [
    ((2, 3, 64, 64), r"64 channels .*images\.transpose\(0, 2, 3, 1\)"),
    ((2, 3, 224, 32), r"32 channels .*images\.transpose\(0, 2, 3, 1\)"),
    ((2, 64, 64, 1), r"1 channels .*images\.repeat\(3, axis=3\)"),
    ((2, 64, 64, 4), r"4 channels .*give r, g and b"),
  ],
)
def test_images_of_another_layout_are_refused_with_what_to_do(shape, message):
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(
      models.create_model("van_b0").init,
      jax.random.key(0),
      jax.ShapeDtypeStruct(shape, jnp.float32),
    )
