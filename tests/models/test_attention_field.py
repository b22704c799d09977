"""What the attention field takes, keeps, writes, and refuses."""

import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
import stranger

from van_jax import models
from van_jax.models import layers

MIXING = "stranger:ChannelMixing"


def create(attention=None, **overrides) -> Any:
  if attention is not None:
    overrides["attention"] = attention
  return models.create_model("van_b0", num_classes=3, **overrides)


@pytest.mark.parametrize(
  ("attention", "expected"),
  [
    (
      {"name": "lka", "convs": ["dilated"]},
      {
        "name": "lka",
        "kernel_size": 21,
        "dilation": 3,
        "gate": "multiply",
        "convs": ("dilated",),
      },
    ),
    (
      "lska",
      {"name": "lska", "kernel_size": 23, "dilation": 3, "gate": "multiply"},
    ),
    (
      models.MultiScaleConvAttention,
      {"name": "msca", "kernel_sizes": (7, 11, 21)},
    ),
    (
      {"name": MIXING, "sharpness": 2.0},
      {"name": stranger.ChannelMixing, "kernel_size": 3, "sharpness": 2.0},
    ),
    (
      stranger.ChannelMixing,
      {"name": stranger.ChannelMixing, "kernel_size": 3, "sharpness": 1.0},
    ),
  ],
)  # fmt: skip
def test_a_description_is_kept_whole(attention, expected):
  model = create(attention)
  assert dict(model.attention) == expected
  again = model.clone(remat=True)  # Its caller's cache finds a model by hash.
  assert (again.attention, again.clone(remat=False)) == (model.attention, model)
  assert hash(again.clone(remat=False)) == hash(model)


def test_a_section_of_a_config_is_a_description():
  config_dict = pytest.importorskip("ml_collections.config_dict")
  section = config_dict.ConfigDict({"name": "msca", "kernel_sizes": [3, 5]})
  expected = {"name": "msca", "kernel_sizes": (3, 5)}
  assert dict(create(section).attention) == expected


def test_old_spellings_are_fields_of_lka():
  old = create(kernel_size=28, dilation=4, gate="add", lka_convs=["dilated"])
  assert old == create(
    {
      "name": "lka",
      "kernel_size": 28,
      "dilation": 4,
      "gate": "add",
      "convs": ["dilated"],
    }
  )
  assert create("lka", gate="add") == create({"name": "lka", "gate": "add"})
  same = create({"name": "lka", "kernel_size": 7}, kernel_size=7)
  assert same.attention["kernel_size"] == 7
  assert create(conv_implementation="xla") == create(implementation="grouped")


def test_a_config_changes_what_a_variant_is_made_of():
  model = create(
    widths=[8, 8, 8, 8], depths=(1, 1, 1, 2), ffn_ratios=[1, 2, 3, 4],
    layer_norm_epsilon=1e-5,
  )  # fmt: skip
  assert (model.widths, model.depths) == ((8, 8, 8, 8), (1, 1, 1, 2))
  assert (model.ffn_ratios, model.layer_norm_epsilon) == ((1, 2, 3, 4), 1e-5)
  assert create(widths=None, depths=None, ffn_ratios=None) == create()


@pytest.mark.parametrize(
  "attention", ["lka", {"name": "msca", "kernel_sizes": (3, 5)}]
)
def test_the_architecture_says_the_attention_in_full(attention):
  model = create(attention)
  fields = json.loads(json.dumps(models.architecture(model)))
  assert fields["attention"].keys() == model.attention.keys()
  assert models.from_architecture(fields) == model


def test_an_old_architecture_is_read_as_before():
  fields = models.architecture(create())
  del fields["attention"]
  fields |= {"kernel_size": 14, "dilation": 3, "gate": "sigmoid"}
  fields |= {"lka_convs": ["depthwise", "pointwise"]}
  assert models.from_architecture(fields, conv_implementation="xla") == create(
    kernel_size=14,
    gate="sigmoid",
    lka_convs=("depthwise", "pointwise"),
    implementation="grouped",
  )


class Elsewhere:
  """Where another class of the same name is."""

  class ChannelMixing(nn.Module):
    """Not the stranger's, but called the same."""

    kernel_size: int = 3
    sharpness: float = 1.0


def test_a_strangers_attention_is_read_with_its_class_alone():
  model = create({"name": MIXING, "sharpness": 2.0})
  fields = json.loads(json.dumps(models.architecture(model)))
  assert fields["attention"] == {
    "name": MIXING, "kernel_size": 3, "sharpness": 2.0,
  }  # fmt: skip
  given = models.from_architecture(fields, attention=stranger.ChannelMixing)
  assert given == model
  assert models.from_architecture(fields, attention=MIXING) == model
  with pytest.raises(
    ValueError, match=rf"{MIXING}.*load_bundle\(path, attention=ChannelMixing\)"
  ):
    models.from_architecture(fields)
  with pytest.raises(ValueError, match=r"'lska' was handed over.*that one"):
    models.from_architecture(fields, attention="lska")
  # A class may move, from a notebook into a file say.
  moved = Elsewhere.ChannelMixing
  assert models.from_architecture(fields, attention=moved) != model


@pytest.mark.parametrize(
  "name", ["__main__:Mine", "file:make.<locals>.Mine", "file:Outer.Mine"]
)
def test_no_import_path_is_advised_that_others_cannot_import(name):
  fields = models.architecture(create())
  fields["attention"] = {"name": name}
  with pytest.raises(
    ValueError,
    match=r"attention=Mine\).*--attention=MODULE:Mine, .*=MODULE:Mine\.",
  ):
    models.from_architecture(fields)


def test_fields_are_not_handed_over_with_the_class():
  fields = models.architecture(create(MIXING))
  handed: Any = {"name": stranger.ChannelMixing, "sharpness": 2.0}
  with pytest.raises(ValueError, match="hand over the class alone"):
    models.from_architecture(fields, attention=handed)


def test_reading_an_architecture_imports_nothing():
  fields = models.architecture(create())
  fields["attention"] = {"name": "antigravity:Attention"}
  with pytest.raises(ValueError, match="not imported because a file says so"):
    models.from_architecture(fields)


def test_a_class_for_a_known_attention_is_refused():
  fields = models.architecture(create("lska"))
  with pytest.raises(ValueError, match=r"handed over.*'lska'.*or none"):
    models.from_architecture(fields, attention=stranger.ChannelMixing)


class WithFunction(nn.Module):
  """Has a field that no file can hold."""

  activation: Any = nn.relu
  size: int = 1


class Careful(nn.Module):
  """Has a field without a default, and checks it."""

  size: int

  def __post_init__(self):
    if self.size < 2:
      raise ValueError(f"size={self.size} must be at least 2.")
    super().__post_init__()


class Untyped(nn.Module):
  """What would be its field is none, for want of a type."""

  size = 3


def test_what_no_file_can_hold_is_not_written():
  with pytest.raises(ValueError, match=r"attention.activation=.*be a number"):
    models.architecture(create(WithFunction))

  class OtherVAN(models.VAN):
    """Not what its fields say."""

  with pytest.raises(ValueError, match="the model is a OtherVAN"):
    models.architecture(OtherVAN((8,) * 4, (1,) * 4, (1,) * 4))


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    ({"attention": "lksa"}, "name='lksa' is unknown; there are lka, lska"),
    ({"attention": {"name": 3}}, "attention.name=3 is no flax module class"),
    ({"attention": 3}, "attention=3 must be a name, a module class, or a"),
    ({"attention": {"gate": "add"}}, "has no name; there are lka, lska, msca"),
    (
      {"attention": {"name": "lska", "kernel_sise": 3}},
      "attention.kernel_sise=3 is no field of lska; there are kernel_size",
    ),
    (
      {"attention": {"name": "lka", "dtype": "float32"}},
      "attention.dtype='float32' is no field of lka",
    ),
    (
      {"attention": "no_such_module:Attention"},
      "attention.name='no_such_module:Attention' cannot be imported: Module",
    ),
    ({"attention": "stranger:Attention"}, "cannot be imported: AttributeError"),
    ({"attention": "stranger:jnp"}, "'stranger:jnp' is no flax module class"),
    ({"attention": "stranger:Any"}, "'stranger:Any' is no flax module class"),
    ({"attention": Careful}, "attention.size must be given"),
    ({"attention": {"name": Careful, "size": 1}}, "Careful: size=1 must be"),
    ({"attention": {"name": Careful, "size": "a"}}, "Careful: '<' not"),
    (
      {"attention": {"name": Untyped, "size": 5}},
      "size=5 is no field of .*:Untyped; declare it with its type: size: TYPE",
    ),
    ({"kernel_size": 0}, "lka: kernel_size=0 must be a whole number"),
    ({"gate": "max"}, "gate='max'.*multiply, add, sigmoid, none"),
    ({"lka_convs": ()}, "convs=.*must be some of"),
    ({"lka_convs": ("pointwise", "dilated")}, "in that order"),
    ({"lka_convs": ("dense", "pointwise")}, "in that order, or"),
    (
      {"attention": {"name": "lska", "gate": "mul"}},
      "attention lska: gate='mul' must be one of",
    ),
    (
      {"attention": {"name": "lska", "kernel_size": 2}},
      "kernel_size=2 must be at least dilation=3",
    ),
    ({"attention": {"name": "msca", "kernel_sizes": 7}}, "kernel_sizes=7 must"),
    (
      {"attention": {"name": "msca", "kernel_sizes": [7, 2.5]}},
      r"kernel_sizes\[1\]=2.5 must be a whole",
    ),
    (
      {"attention": "msca", "kernel_size": 7},
      "kernel_size=7 is LKA's and attention.name is 'msca'",
    ),
    (
      {"attention": {"name": "lka", "gate": "add"}, "gate": "none"},
      "gate='none' is the old spelling of attention.gate='add'",
    ),
    (
      {"implementation": "xla", "conv_implementation": "auto"},
      "conv_implementation='auto' is the old spelling of implementation='xla'",
    ),
  ],
)
def test_bad_attentions_are_named(overrides, message):
  with pytest.raises(ValueError, match=message):
    create(**overrides)


def test_a_model_within_a_module_adopts_no_attention():
  class Around(nn.Module):
    """A VAN below another name."""

    @nn.compact
    def __call__(self, x):
      """Returns features."""
      return models.VAN(
        (8,) * 4, (1,) * 4, (1,) * 4, 0, implementation="xla", name="backbone"
      )(x, train=False)

  shapes: Any = jax.eval_shape(
    Around().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3))
  )
  assert set(shapes["params"]) == {"backbone"}


class Plain(nn.Module):
  """Declares what it is given without a default, and hands it on."""

  depthwise: Any
  implementation: str

  @nn.compact
  def __call__(self, x):
    """Maps [B, H, W, C] to [B, H, W, C]."""
    assert self.implementation == "shifted_sum"
    return self.depthwise(3, name="near")(x)


def test_what_an_attention_is_given_needs_no_default():
  model = create(attention=Plain, implementation="shifted_sum")
  images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), images)
  unit = variables["params"]["block1_0"]["attn"]["spatial_gating_unit"]
  assert unit["near"]["kernel"].shape[:2] == (3, 3)


class Shrinking(nn.Module):
  """Returns a map that broadcasting would make fit."""

  axes: tuple[int, ...] = (1, 2)

  @nn.compact
  def __call__(self, x):
    """Maps [B, H, W, C] to fewer."""
    return x.mean(self.axes, keepdims=True)


@pytest.mark.parametrize("axes", [(1, 2), (2,), (3,)])
def test_another_shape_is_refused(axes):
  model = create({"name": Shrinking, "axes": axes})
  with pytest.raises(ValueError, match=r"Shrinking gave .* for \(1, 8, 8, 32"):
    models.variable_shapes(model)


@pytest.mark.parametrize("size", [0, "abc", 1.5, (3, 0), (3, 3, 3)])
def test_a_depthwise_kernel_of_no_size_is_refused(size):
  layer = layers.Depthwise(size)
  with pytest.raises(ValueError, match=r"kernel_size=.* must be a whole"):
    jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 4, 4, 2)))
