"""Names and options that there are not, as a user types them: one line each."""

import sys

import pytest
from absl import flags
from ml_collections import config_flags

from van_jax.cli import flag_parsing
from van_jax.experiment import config_check, sections

# ml_collections 1.1 loads a config file in a way that importlib dislikes.
pytestmark = pytest.mark.filterwarnings(
  r"ignore:the load_module\(\) method is deprecated:DeprecationWarning"
)

STRANGERS = """
import flax.linen as nn

class Mine(nn.Module):
  width: int = 3

  @nn.compact
  def __call__(self, x):
    return x

def function():
  return 3

class Held(Mine):
  act: object = nn.gelu

def number_course(course):
  return 3

def number_rule(decay):
  return 3

def opener(directory):
  return 3

number = 3
"""


@pytest.fixture
def config_of(monkeypatch, tmp_path, root, tiny_config):
  """Returns a function from arguments to the digits' config with them."""
  (tmp_path / "strangers.py").write_text(STRANGERS)
  (tmp_path / "broken_stranger.py").write_text("import absent_thing\n")
  monkeypatch.syspath_prepend(tmp_path)

  def parse(*arguments):
    values = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", values)
    path = root / "configs" / "digits.py"
    monkeypatch.setattr(sys, "argv", ["x.py", f"--config={path}", *arguments])
    config_flags.DEFINE_config_file(
      "config", None, "Run.", flag_values=values, lock_config=True
    )
    flag_parsing.parse(sys.argv)
    return values.config

  return parse


@pytest.mark.parametrize(
  "arguments",
  [
    ["model.attention.name=lska", "model.attention.kernel_size=35"],
    ["model.attention.name=msca", "model.attention.kernel_sizes=7,11"],
    ["model.attention.gate=add", "model.attention.convs=depthwise,"],
    ["model.attention.name=strangers:Mine", "model.attention.width=5"],
    ["model.widths=32,64,160,256", "model.ffn_ratios=4,4,4,4"],
    ["model.depths=1,1,1,1", "model.layer_norm_epsilon=1e-5"],
    ["optimizer.name=lion", "optimizer.options.beta2=0.98"],
    ["optimizer.options.epsilon=1e-6"],
    ["loss.name=binary_cross_entropy", "loss.options.sum_classes=True"],
    ["schedule.name=polynomial", "schedule.options.power=0.9"],
    ["data.options.shuffle_megabytes=64"],
  ],
)
def test_every_named_thing_and_its_own_fields_can_be_set(config_of, arguments):
  config = config_of(*[f"--config.{argument}" for argument in arguments])
  config_check.check_config(config)


def test_what_a_flag_sets_reaches_the_model(config_of):
  config = config_of(
    "--config.model.attention.name=lska",
    "--config.model.attention.kernel_size=35",
    "--config.model.widths=8,8,16,16",
  )
  model = sections.build(config, "model")
  assert model.widths == (8, 8, 16, 16)
  assert model.attention["name"] == "lska"
  assert model.attention["kernel_size"] == 35


@pytest.mark.parametrize(
  ("arguments", "parts"),
  [
    (["model.attention.name=lsk"], ("'lsk'", "there are lska, lka, msca")),
    (["model.attention.kernel_sise=35"], ("kernel_sise=35", "kernel_size,")),
    (
      ["model.attention.name=msca", "model.attention.dilation=3"],
      ("dilation=3", "no field of msca", "kernel_sizes"),
    ),
    (["model.attention.gate=divide"], ("divide", "multiply")),
    (["model.attention.name=absent:Mine"], ("absent:Mine", "No module named")),
    (
      ["model.attention.name=broken_stranger:Mine"],
      ("ModuleNotFoundError", "absent_thing"),
    ),
    (["model.attention.name=strangers:Yours"], ("strangers:Yours", "Yours")),
    (
      ["model.attention.name=strangers:number"],
      ("strangers:number", "no flax module class"),
    ),
    (
      ["model.attention.name=strangers:function"],
      ("strangers:function", "no flax module class"),
    ),
    (["model.depths=1.5,1,1,1"], ("depths", "whole")),
    (["model.attention.kernel_size=True"], ("kernel_size=True", "type int")),
    *[
      ([f"{section}.name=strangers:number"], (f"{section}.name", "function"))
      for section in ("optimizer", "loss", "schedule", "task")
    ],
    (["optimizer.name=adanw"], ("'adanw'", "there are adamw, ")),
    (
      ["optimizer.options.beta3=0.5"],
      ("beta3", "did you mean beta", "epsilon"),
    ),
    (
      ["optimizer.name=lion", "optimizer.options.epsilon=1"],
      ("epsilon", "lion", "beta1, beta2"),
    ),
    (["loss.name=cross_entropi"], ("'cross_entropi'", "are cross_entropy, ")),
    (["loss.options.threshold=0"], ("threshold", "no option")),
    (["schedule.name=cosin"], ("'cosin'", "there are cosine, ")),
    (["schedule.options.power=2"], ("power", "no option")),
    (["task.name=clasification"], ("'clasification'", "are classification")),
    (["task.options.depth=2"], ("depth", "no option")),
    (["model.widths=1,2"], ("widths", "four")),
    (
      ["optimizer.options.beta2=high"],
      ("optimizer.options.beta2='high'", "type float", "0.999"),
    ),
    (
      ["model.attention.kernel_size=wide"],
      ("attention.kernel_size='wide'", "type int"),
    ),
    (
      ["model.attention.name=strangers:Mine", "model.attention.width=wide"],
      ("attention.width='wide'", "type int"),
    ),
    (
      ["model.attention.name=strangers:Held"],
      ("attention.act=", "cannot be written to a file"),
    ),
    (["schedule.name=strangers:number_course"], ("schedule.name", "function")),
    (["optimizer.name=strangers:number_rule"], ("optimizer.name", "a list")),
  ],
)
def test_what_there_is_not_is_named_with_what_there_is(
  config_of, arguments, parts
):
  config = config_of(*[f"--config.{argument}" for argument in arguments])
  with pytest.raises(ValueError) as info:
    config_check.check_config(config)
  message = " ".join(str(info.value).split())
  for part in parts:
    assert part in message


@pytest.mark.parametrize(
  ("arguments", "parts"),
  [
    (["data.name=digit"], ("'digit'", "there are digits, ")),
    (["data.options.colour=1"], ("data.options.colour", "no option")),
    (
      ["data.name=folder", "data.options.shuffle_megabytes=1"],
      ("shuffle_megabytes", "no option"),
    ),
    (["data.name=strangers:absent"], ("strangers:absent", "AttributeError")),
    (["data.name=strangers:number"], ("data.name", "no function")),
    (["data.name=strangers:opener"], ("data.name", "no function")),
  ],
)
def test_a_source_that_there_is_not(config_of, tmp_path, arguments, parts):
  config = config_of(
    f"--config.data.directory={tmp_path}",
    *[f"--config.{argument}" for argument in arguments],
  )
  with pytest.raises(ValueError) as info:
    sections.build(config, "data")
  for part in parts:
    assert part in str(info.value)
