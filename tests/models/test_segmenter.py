"""Segmenters: shapes, names, invariants, and what they refuse."""

import functools
import json
from typing import Any, cast

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from van_jax import models, parallel
from van_jax.models.batch_norm import BatchNorm
from van_jax.models.heads import convolution, table

HEADS: Any = {
  "fpn": ({"name": "fpn", "channels": 6, "pyramid_channels": 8}, None),
  "upernet": (
    {"name": "upernet", "channels": 6, "pool_scales": (1, 2)},
    {"name": "fcn", "channels": 5},
  ),
  "fcn": ({"name": "fcn", "channels": 6, "convs": 2}, None),
  "stranger": ("strangers_head:LinearHead", None),
}
each_head = pytest.mark.parametrize("head", ["fpn", "upernet", "stranger"])


def small(kind="fpn", **overrides) -> Any:
  fields: dict[str, Any] = {
    "widths": (8, 8, 16, 16),
    "depths": (1, 1, 1, 1),
    "ffn_ratios": (1, 1, 1, 1),
    "layer_scale_init": 0.5,
    # 3x3 and 5x5: quicker to compile.
    "attention": {"name": "lka", "kernel_size": 10, "dilation": 2},
    "implementation": "xla",
  }
  first, second = HEADS[kind]
  fields = {"head": first, "auxiliary": second} | fields | overrides
  return models.create_segmenter("van_b0", num_classes=5, **fields)


@functools.cache
def images():
  return jax.random.normal(jax.random.key(7), (2, 45, 69, 3))


@functools.cache
def shapes(kind="fpn"):
  return models.variable_shapes(small(kind))


@functools.cache
def variables(kind="fpn"):
  return drawn(shapes(kind))


def drawn(shapes) -> Any:
  """Returns arrays, of statistics and norms that are not as they start."""
  rng = np.random.default_rng(0)

  def draw(path, x):
    if path[-1].key in ("scale", "var"):
      return jnp.asarray(rng.uniform(0.5, 2, x.shape), x.dtype)
    return jnp.asarray(0.2 * rng.standard_normal(x.shape), x.dtype)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def head_alone(kind="upernet", *, group_size=None, **overrides) -> Any:
  """Returns a head as a segmenter makes it."""
  norm = functools.partial(BatchNorm, group_size)
  bound = {"num_classes": 5, "implementation": "xla", "norm": norm}
  fields = dict(HEADS[kind][0]) | {"dropout_rate": 0.0}
  return table.HEAD.make(fields, name=None, **(bound | overrides))


@functools.cache
def maps(batch=4):
  rng = np.random.default_rng(1)
  sizes = ((9, 7, 4), (5, 4, 6), (3, 2, 8), (2, 2, 10))
  return [
    jnp.asarray(rng.standard_normal((batch, *size)), jnp.float32)
    for size in sizes
  ]


@functools.cache
def head_variables(kind="upernet"):
  head = head_alone(kind)
  return drawn(
    jax.eval_shape(
      functools.partial(head.init, train=False), jax.random.key(0), maps()
    )
  )


def paths(tree) -> Any:
  return flax.traverse_util.flatten_dict(tree, sep="/")


def step(head, variables, maps):
  """Returns logits, gradients and new statistics of a head's training step."""

  def loss_fn(params):
    logits, new = head.apply(
      variables | {"params": params}, maps, train=True, mutable="batch_stats"
    )
    loss = -jnp.mean(jax.nn.log_softmax(logits)[..., 0])
    return loss, (logits, new["batch_stats"])

  (_, (logits, stats)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(
    variables["params"]
  )
  return {"logits": logits, "stats": stats, "gradients": gradients}


def assert_trees_close(ours, expected, rtol):
  ours, expected = paths(ours), paths(expected)
  assert ours.keys() == expected.keys()
  for name, value in expected.items():
    scale = max(float(jnp.max(jnp.abs(value))), 1e-3)
    np.testing.assert_allclose(
      ours[name], value, rtol=0, atol=rtol * scale, err_msg=name
    )


@each_head
@pytest.mark.parametrize("size", [(32, 32), (45, 69)])
def test_logits_are_float32_at_stride_4_rounded_up(head, size):
  x = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  logits = jax.eval_shape(small(head, dtype="bfloat16").apply, shapes(head), x)
  assert logits.shape == (2, -(-size[0] // 4), -(-size[1] // 4), 5)
  assert logits.dtype == jnp.float32


@pytest.mark.parametrize("attention", ["msca", "stranger:ChannelMixing"])
def test_in_training_an_auxiliary_head_adds_its_logits_at_stride_16(attention):
  model = small("upernet", attention=attention)
  outputs, _ = jax.eval_shape(
    functools.partial(model.apply, train=True, mutable=["batch_stats"]),
    models.variable_shapes(model),
    images(),
    rngs={"dropout": jax.random.key(0)},
  )
  assert {name: y.shape for name, y in outputs.items()} == {
    "logits": (2, 12, 18, 5),
    "auxiliary": (2, 3, 5, 5),
  }


@pytest.mark.parametrize(
  ("head", "names"),
  [
    (
      "fpn",
      (
        "params/backbone/block3_0/attn/proj_1/kernel",
        "params/decode_head/neck/lateral_convs_3/conv/bias",
        "params/decode_head/neck/fpn_convs_0/conv/kernel",
        "params/decode_head/scale_heads_3_4/bn/scale",
        "batch_stats/decode_head/scale_heads_0_0/bn/var",
        "params/decode_head/conv_seg/bias",
      ),
    ),
    (
      "upernet",
      (
        "params/decode_head/psp_modules_1_1/conv/kernel",
        "batch_stats/decode_head/bottleneck/bn/mean",
        "params/decode_head/lateral_convs_2/bn/bias",
        "params/decode_head/fpn_bottleneck/conv/kernel",
        "params/auxiliary_head/convs_0/conv/kernel",
        "params/auxiliary_head/conv_seg/kernel",
      ),
    ),
  ],
)
def test_parameter_names_are_mmsegmentations(head, names):
  assert set(names) < set(paths(shapes(head)))


def test_convolutions_before_a_norm_have_no_bias():
  found = paths(shapes("upernet")["params"])
  for name in found:
    if name.endswith("bn/scale"):
      assert f"{name.removesuffix('bn/scale')}conv/bias" not in found


def test_heads_run_as_the_backbone_is_told_to():
  model = small(
    "upernet", dtype=jnp.bfloat16, remat=True, batch_norm_group_size=2
  ).bind({})
  for head in (model.decode_head, model.auxiliary_head):
    assert (head.num_classes, head.dtype) == (5, jnp.bfloat16)
    assert (head.remat, head.implementation) == (True, "xla")
    assert head.norm().group_size == 2
    assert head.norm().dtype == jnp.bfloat16


@pytest.mark.parametrize("kind", ["fpn", "upernet"])
def test_bfloat16_keeps_everything_but_the_maps_in_float32(kind):
  head = head_alone(kind, dtype=jnp.bfloat16)
  result = jax.eval_shape(
    functools.partial(step, head), head_variables(kind), maps()
  )
  kinds = {x.dtype for x in jax.tree.leaves(result)}
  assert kinds == {jnp.dtype("float32")}


def test_bfloat16_logits_are_near_float32_ones():
  exact, near = (
    jax.jit(functools.partial(head_alone(dtype=dtype).apply, train=False))(
      head_variables(), maps()
    )
    for dtype in (jnp.float32, jnp.bfloat16)
  )
  # 8 bits a product, relative to the largest logit; some layers deep.
  assert 0 < jnp.max(jnp.abs(near - exact)) < 0.05 * jnp.max(jnp.abs(exact))


@functools.cache
def plain_step():
  return jax.jit(functools.partial(step, head_alone("fcn")))


def test_remat_changes_nothing_and_recomputes_every_convolution():
  again = functools.partial(step, head_alone("fcn", remat=True))
  given = (head_variables("fcn"), maps())
  assert_trees_close(jax.jit(again)(*given), plain_step()(*given), rtol=1e-4)
  for kind, units in (("fcn", 2), ("fpn", 8 + 7), ("upernet", 3 + 2 + 5)):
    again = functools.partial(step, head_alone(kind, remat=True))
    program = str(jax.make_jaxpr(again)(head_variables(kind), maps()))
    assert program.count("checkpoint[") + program.count("remat2[") >= units


def test_group_statistics_equal_separate_batches():
  groups = jax.jit(functools.partial(step, head_alone("fcn", group_size=4)))
  given = head_variables("fcn")
  other = [2 * x[::-1] for x in maps(4)]
  parts = [plain_step()(given, part) for part in (maps(4), other)]
  batch = [jnp.concatenate(pair) for pair in zip(maps(4), other, strict=True)]
  grouped = groups(given, batch)
  # Of the same numbers: XLA may add them up in another order.
  np.testing.assert_allclose(
    grouped["logits"],
    jnp.concatenate([part["logits"] for part in parts]),
    rtol=0,
    atol=1e-4,
  )
  mean = jax.tree.map(lambda a, b: (a + b) / 2, *(p["stats"] for p in parts))
  assert_trees_close(grouped["stats"], mean, rtol=1e-5)


def test_eight_devices_agree_with_one():
  run = jax.jit(functools.partial(step, head_alone(group_size=4)))
  mesh = Mesh(np.array(jax.devices()), ("batch",))
  sharded = run(
    jax.device_put(head_variables(), NamedSharding(mesh, PartitionSpec())),
    jax.device_put(maps(8), NamedSharding(mesh, PartitionSpec("batch"))),
  )
  # Sums in another order; BatchNorm's gradient subtracts near-equal ones.
  assert_trees_close(sharded, run(head_variables(), maps(8)), rtol=1e-4)


def test_dropout_drops_whole_channels_of_an_example():
  class Bare(nn.Module):
    @nn.compact
    def __call__(self, x):
      return convolution.class_logits(
        x,
        num_classes=64,
        dropout_rate=0.25,
        train=True,
        implementation="xla",
        dtype=jnp.float32,
      )

  kernel = jnp.eye(64)[None, None]
  conv = {"kernel": kernel, "bias": jnp.zeros(64)}
  ones = jnp.ones((8, 3, 2, 64))
  found = np.asarray(
    jax.jit(Bare().apply)(
      {"params": {"conv_seg": conv}}, ones, rngs={"dropout": jax.random.key(0)}
    )
  )
  assert (found == found[:, :1, :1]).all()
  assert np.isin(found, np.array([0, 1 / 0.75], np.float32)).all()
  # 512 draws: 4 standard deviations of 0.019.
  assert abs(np.mean(found == 0) - 0.25) < 0.08


def test_weights_start_as_mmsegmentations():
  found = {}

  def watch(call, args, kwargs, context):
    if isinstance(context.module, convolution.Conv):
      found["/".join(context.module.path)] = context.module.kernel_init
    return call(*args, **kwargs)

  head = head_alone("fpn")
  with nn.intercept_methods(watch):
    jax.eval_shape(
      functools.partial(head.init, train=False), jax.random.key(0), maps()
    )
  fan = 2 * 2 * 32
  for name, spread in {  # Of 4,096 numbers: 4 standard deviations of 1.1 %.
    "conv_seg": 0.01,
    "scale_heads_2_2/conv": np.sqrt(2 / fan),  # Kaiming's, fan out.
    "neck/lateral_convs_0/conv": np.sqrt(2 / (fan + fan)),  # Xavier's.
    "neck/fpn_convs_3/conv": np.sqrt(2 / (fan + fan)),
  }.items():
    kernel = np.asarray(found[name](jax.random.key(0), (2, 2, 32, 32)))
    np.testing.assert_allclose(np.std(kernel), spread, rtol=0.045)
    # A uniform distribution reaches no farther than sqrt(3) of its spread.
    is_uniform = np.max(np.abs(kernel)) < 1.8 * spread
    assert is_uniform == name.startswith("neck/")


def test_state_is_split_over_devices_by_the_shapes_of_its_arrays():
  model = models.create_segmenter(
    "van_b0", num_classes=150, head="upernet", auxiliary="fcn"
  )
  mesh = parallel.create_mesh(fsdp=8)
  shardings = paths(
    parallel.state_shardings(models.variable_shapes(model), mesh)
  )
  for name in ("decode_head/fpn_bottleneck", "auxiliary_head/convs_0"):
    assert "fsdp" in shardings[f"params/{name}/conv/kernel"].spec


def test_clone_takes_the_backbones_fields_too():
  model = small("upernet")
  again = model.clone(drop_path_rate=0.3, dtype=jnp.bfloat16, num_classes=7)
  assert again.backbone == model.backbone.clone(
    drop_path_rate=0.3, dtype=jnp.bfloat16
  )
  assert (again.num_classes, again.head) == (7, model.head)


def test_folded_segmenter_is_the_same():
  model = small("upernet")
  folded, kernels = models.fold_batch_norm(model, variables("upernet"))
  assert set(kernels) == {"params"}
  assert not any("/bn/" in name for name in paths(kernels))
  assert paths(kernels).keys() == paths(models.variable_shapes(folded)).keys()
  expected = jax.jit(model.apply)(variables("upernet"), images())
  found = jax.jit(folded.apply)(kernels, images())
  # Float32 rounds at 6e-8 a step; some forty steps.
  spread = float(jnp.std(expected))
  np.testing.assert_allclose(found, expected, atol=2e-5 * spread, rtol=0)


def test_a_strangers_head_is_not_folded():
  with pytest.raises(ValueError, match=r"strangers_head:LinearHead.*folded"):
    models.fold_batch_norm(small("stranger"), variables("stranger"))


@pytest.mark.parametrize("head", ["fpn", "upernet"])
def test_architecture_as_json_makes_the_same_segmenter(head):
  model = small(head)
  fields = json.loads(json.dumps(models.architecture(model)))
  again = models.from_architecture(fields, implementation="xla")
  assert again == model


def test_a_strangers_head_is_handed_over_and_never_imported():
  from strangers_head import LinearHead

  fields = models.architecture(small("stranger"))
  with pytest.raises(ValueError, match=r"head=LinearHead"):
    models.from_architecture(fields)
  again = models.from_architecture(
    fields, head=LinearHead, implementation="xla"
  )
  assert again == small("stranger")


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (
      lambda: models.Segmenter(models.create_model("van_b0"), "fpn"),
      r"backbone.num_classes=1000 must be 0.*clone\(num_classes=0\)",
    ),
    (
      lambda: models.Segmenter(cast(Any, None), "fpn"),
      "backbone=None must be a VAN",
    ),
    (lambda: small(head="fpm"), "head.name='fpm' is unknown; there are fpn"),
    (
      lambda: models.create_segmenter(
        "van_b0", num_classes=4, auxiliary={"name": None, "channels": 8}
      ),
      "auxiliary.channels=8 is of an auxiliary head, and auxiliary.name=None",
    ),
    (
      lambda: small(auxiliary={"name": "fcn", "channel": 8}),
      "auxiliary.channel=8 is no field of fcn; there are channels",
    ),
    (
      lambda: small(head={"name": "fpn", "num_classes": 8}),
      "head.num_classes=8 is no field of fpn",
    ),
    (
      lambda: small(head={"name": "upernet", "pool_scales": (0, 2)}),
      r"head upernet: pool_scales=\(0, 2\) must be whole numbers",
    ),
    (
      lambda: small(head={"name": "fpn", "dropout_rate": 1.0}),
      "head fpn: dropout_rate=1.0 must be at least 0 and below 1",
    ),
    (
      lambda: small(head={"name": "fcn", "stage": 5}),
      "head fcn: stage=5 must be from 1 to 4",
    ),
    (lambda: small().clone(num_classes=0), "num_classes=0 must be at least 1"),
    (
      lambda: models.create_segmenter("van_b0", num_classes=2, depth=3),
      "depth=3 is not a field of VAN; there are depths",
    ),
  ],
)
def test_bad_fields_are_named(make, message):
  with pytest.raises(ValueError, match=message):
    make()
