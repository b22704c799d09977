"""Sections whose keys depend on a name, set by flags as a user types them."""

import sys

import pytest
from absl import flags
from ml_collections import config_flags

from van_jax.cli import flag_parsing, open_sections

# ml_collections 1.1 loads a config file in a way that importlib dislikes.
pytestmark = pytest.mark.filterwarnings(
  r"ignore:the load_module\(\) method is deprecated:DeprecationWarning"
)

CONFIG = """
from ml_collections import config_dict

def get_config():
  config = config_dict.ConfigDict()
  config.seed = 0
  config.model = config_dict.ConfigDict()
  config.model.widths = config_dict.placeholder(tuple)
  config.model.implementation = "auto"
  config.model.attention = config_dict.ConfigDict()
  config.model.attention.name = "lka"
  config.model.attention.kernel_size = 21
  config.data = config_dict.ConfigDict()
  config.optimizer = config_dict.ConfigDict()
  config.optimizer.name = "adamw"
  config.optimizer.options = config_dict.ConfigDict()
  config.optimizer.options.beta1 = 0.9
  config.xla_flags = config_dict.ConfigDict()
  {more}
  return config
"""


@pytest.fixture
def parse(monkeypatch, tmp_path):
  """Returns a function that parses arguments with flags of their own."""
  path = tmp_path / "run.py"

  def parse(*arguments, more=""):
    values = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(sys, "argv", ["x.py", f"--config={path}", *arguments])
    path.write_text(CONFIG.format(more=more))
    config_flags.DEFINE_config_file(
      "config", None, "Run.", flag_values=values, lock_config=True
    )
    given = list(sys.argv)
    assert flag_parsing.parse(sys.argv) == ["x.py"]
    assert sys.argv == given
    return values.config

  return parse


def test_a_key_that_the_config_file_lacks_is_set(parse):
  config = parse(
    "--config.optimizer.options.beta2=0.95",
    "-config.model.attention.kernel_sizes",
    "7,11",
    "--config.model.attention.convs=('depthwise',)",
    "--config.model.attention.gate=add",
    "--config.seed=3",
  )
  assert config.optimizer.options.to_dict() == {"beta1": 0.9, "beta2": 0.95}
  assert config.model.attention.to_dict() == {
    "name": "lka",
    "kernel_size": 21,
    "kernel_sizes": (7, 11),
    "convs": ("depthwise",),
    "gate": "add",
  }
  assert config.seed == 3
  assert config.is_locked


@pytest.mark.parametrize("order", [1, -1])
def test_another_name_leaves_out_what_the_file_has_for_its_own(
  parse, order, caplog
):
  arguments = [
    "--config.model.attention.name=lska",
    "--config.model.attention.dilation=2",
    "--config.optimizer.name=lion",
  ][::order]
  config = parse(*arguments)
  assert config.model.attention.to_dict() == {"name": "lska", "dilation": 2}
  assert config.optimizer.options.to_dict() == {}
  assert "kernel_size of the config file left out" in caplog.text
  assert "model.attention.name=lka and not lska" in caplog.text


def test_the_same_name_keeps_what_the_file_has(parse, caplog):
  config = parse("--config.model.attention.name=lka")
  assert config.model.attention.kernel_size == 21
  assert not caplog.text


def test_numbers_a_stage_are_written_with_commas(parse):
  config = parse("--config.model.widths=32,64,160,256")
  assert config.model.widths == (32, 64, 160, 256)


@pytest.mark.parametrize(
  ("text", "value"),
  [
    ("35", 35),
    ("1e-3", 1e-3),
    ("True", True),
    ("None", None),
    ("(7, 11)", (7, 11)),
    ("7,11", (7, 11)),
    ("[1]", [1]),
    ("a,b", ("a", "b")),
    ("depthwise,", ("depthwise",)),
    ("a b, c", "a b, c"),
    ("(7", "(7"),
    ("{[]: 1}", "{[]: 1}"),
    ("my_module:Mine", "my_module:Mine"),
    ("", ""),
  ],
)
def test_a_value_is_a_literal_or_else_text(text, value):
  assert open_sections.value(text) == value


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ["--config.model.attention.kernel_size=wide"],
      r"attention\.kernel_size='wide' must be of type int; .* has 21",
    ),
    (
      ["--config.model.attention.dilation", "--config.seed=3"],
      r"write --config\.model\.attention\.dilation=VALUE",
    ),
    (["--config.model.attention.dilation"], r"needs a value"),
    (
      ["-config.model.attention.dilation", "-config.seed=3"],
      r"attention\.dilation needs a value",
    ),
    (
      ["--config.loss.options.threshold=0"],
      r"config\.loss is not a key that anything reads",
    ),
    (
      ["--config.model.attention={}"],
      r"attention is a section; set its keys one by one: kernel_size, name",
    ),
    (
      ["--config.model.kernel_size=35"],
      r"config\.model\.kernel_size is now .*\.model\.attention\.kernel_size;",
    ),
    (
      ["--config.optimizer.beta2=0.95"],
      r"optimizer\.beta2 is now config\.optimizer\.options\.beta2; set that",
    ),
    (
      ["--config.model.conv_implementation=xla"],
      r"conv_implementation is now config\.model\.implementation;",
    ),
  ],
)
def test_a_wrong_argument_is_named(parse, arguments, message):
  with pytest.raises(ValueError, match=message) as info:
    parse(*arguments)
  assert "\n" not in str(info.value)


OLD = """config.model.kernel_size = 35
  config.model.dilation = 3
  config.model.conv_implementation = "xla"
  config.data.shuffle_megabytes = 64
  config.optimizer.beta2 = 0.95"""


def test_a_config_file_of_before_says_the_same_in_the_keys_of_now(parse):
  config = parse(more=OLD)
  assert config.model.to_dict() == {
    "widths": None,
    "implementation": "grouped",
    "attention": {"name": "lka", "kernel_size": 35},
  }
  assert config.data.to_dict() == {"options": {"shuffle_megabytes": 64}}
  assert config.optimizer.options.to_dict() == {"beta1": 0.9, "beta2": 0.95}


def test_flags_come_before_what_a_config_file_of_before_says(parse):
  config = parse(
    "--config.model.implementation=numba",
    "--config.model.attention.kernel_size=23",
    more=OLD,
  )
  assert config.model.implementation == "numba"
  assert config.model.attention.kernel_size == 23


def test_another_name_leaves_out_what_a_file_of_before_has(parse):
  config = parse("--config.model.attention.name=lska", more=OLD)
  assert config.model.attention.to_dict() == {"name": "lska"}


def test_options_of_the_compiler_are_set_by_their_names(parse):
  config = parse(
    "--config.xla_flags.xla_tpu_enable_latency_hiding_scheduler=true",
    "--config.xla_flags.xla_backend_optimization_level=2",
    "--config.model.attention.name=msca",  # Drops nothing of theirs.
  )
  assert config.xla_flags.to_dict() == {
    "xla_tpu_enable_latency_hiding_scheduler": "true",
    "xla_backend_optimization_level": 2,
  }
