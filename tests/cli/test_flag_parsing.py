"""Flags as a user types them: one readable line for what is wrong."""

import sys

import pytest
from absl import flags
from ml_collections import config_flags

from van_jax.cli import config_files, flag_parsing

# ml_collections 1.1 loads a config file in a way that importlib dislikes.
pytestmark = pytest.mark.filterwarnings(
  r"ignore:the load_module\(\) method is deprecated:DeprecationWarning"
)

CONFIG = """
from ml_collections import config_dict

def get_config(size="small"):
  config = config_dict.ConfigDict()
  config.seed = 0
  config.optimizer = config_dict.ConfigDict()
  config.optimizer.weight_decay = 0.05
  config.optimizer.clip = config_dict.placeholder(float)
  config.sizes = (1, 2)
  config.remat = False
  config.size = size
{more}
  return config
"""


@pytest.fixture
def write_config(tmp_path):
  """Returns a function that writes a config file with more lines in it."""

  def write(more=""):
    path = tmp_path / "run.py"
    path.write_text(CONFIG.format(more=f"  {more}"))
    return str(path)

  return write


@pytest.fixture
def parse(monkeypatch):
  """Returns a function that parses arguments with flags of their own."""

  def parse(*arguments):
    values = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    config_flags.DEFINE_config_file(
      "config", None, "Run.", flag_values=values, lock_config=True
    )
    flags.DEFINE_string("workdir", None, "Folder.", flag_values=values)
    flags.mark_flag_as_required("workdir", flag_values=values)
    assert flag_parsing.parse(sys.argv) == ["train.py"]
    return values.config

  return parse


def test_values_reach_the_config(parse, write_config):
  config = parse(
    f"--config={write_config()}:large",
    "--workdir=w",
    "--config.optimizer.clip=2",
    "--config.seed",
    "7",
    "--config.remat",
    "--config.sizes=(3, 4)",
  )
  assert config.optimizer.clip == 2.0
  assert (config.seed, config.remat, config.sizes) == (7, True, (3, 4))
  assert config.size == "large"


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    (
      "--config.optimizer.weight_decy=1",
      r"weight_decy is not .* mean config\.optimizer\.weight_decay\?",
    ),
    ("--config.optimiser.clip=1", r"config\.optimiser is .* config\.optimizer"),
    ("--config.weight_decay=1", r"mean config\.optimizer\.weight_decay\?"),
    ("--config.weight_dcay=1", r"mean config\.optimizer\.weight_decay\?"),
    ("--noconfig.remet", r"config\.remet is not .* mean config\.remat\?"),
    ("--config.seed.x=1", r"config\.seed\.x cannot be set: config\.seed is"),
    ("--config.optimizer=3", r"config\.optimizer is a section; .* clip, "),
    ("--config.seed=low", r"config\.seed='low' must be of type int; .* has 0"),
    (
      "--config.optimizer.clip=low",
      r"config\.optimizer\.clip='low' must be of type float; .* has None",
    ),
    ("--config.sizes=(1, 2", r"config\.sizes='\(1, 2' must be of type tuple"),
    ("--wrokdir=x", r"'wrokdir'\. Did you mean: workdir"),
    ("config.seed=3", r"'config\.seed=3' is not a flag: .* --NAME=VALUE"),
  ],
)
def test_a_wrong_argument_is_named(parse, write_config, argument, message):
  with pytest.raises(ValueError, match=message) as info:
    parse(f"--config={write_config()}", "--workdir=w", argument)
  assert "\n" not in str(info.value)


def test_a_missing_flag_is_named(parse, write_config):
  with pytest.raises(ValueError, match=r"--workdir must have a value.*--help"):
    parse(f"--config={write_config()}")


@pytest.mark.parametrize("form", ["--config={}", "-config={}:large"])
def test_a_missing_config_file_is_named(parse, tmp_path, form):
  path = tmp_path / "absent.py"
  with pytest.raises(ValueError, match=rf"there is no file '{path}'"):
    parse(form.format(path), "--workdir=w", "--config.seed=3")


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("config.seed = 'low'", r"run\.py, line 13: TypeError: .*'int'"),
    ("config.sed.x = 1", r"run\.py, line 13: AttributeError: .*sed"),
    ("config.seed = = 1", r"SyntaxError: .*run\.py, line 13"),
    (
      "import absent_module",
      r"run\.py, line 13: ModuleNotFoundError: .*absent",
    ),
    ("return 3", r"get_config\(\) must return a ConfigDict, and returns 3"),
  ],
)
def test_a_config_file_that_fails_is_named_with_the_line(
  parse, write_config, line, message
):
  with pytest.raises(ValueError, match=message):
    parse(f"--config={write_config(line)}", "--workdir=w")


def test_a_config_argument_that_is_not_taken_is_named(parse, tmp_path):
  path = tmp_path / "plain.py"
  path.write_text("def get_config():\n  return 1\n")
  message = r"plain\.py:big: TypeError: .*takes 0.*what may follow the colon"
  with pytest.raises(ValueError, match=message):
    parse(f"--config={path}:big", "--workdir=w")


@pytest.mark.parametrize(
  ("arguments", "clip"),
  [
    (["--config.optimizer.clip=None"], None),
    (["--config.optimizer.clip", "None"], None),
    (["--config.optimizer.clip=2", "-config.optimizer.clip=None"], None),
    (["--config.optimizer.clip=None", "--config.optimizer.clip=2"], 2.0),
  ],
)
def test_none_can_be_said_of_a_key_that_has_a_value(
  parse, write_config, arguments, clip
):
  path = write_config("config.optimizer.clip = 1.0")
  config = parse(
    f"--config={path}", "--workdir=w", *arguments, "--config.seed=7"
  )
  assert config.optimizer.clip == clip
  assert config.seed == 7
  overridden = config_flags.get_override_values(flags.FLAGS["config"])
  assert overridden == {"optimizer.clip": clip, "seed": 7}


@pytest.mark.parametrize("key", ["seed", "sizes", "remat", "size"])
def test_none_can_be_said_of_every_type(parse, write_config, key):
  config = parse(
    f"--config={write_config()}", "--workdir=w", f"--config.{key}=None"
  )
  assert config[key] is None


def test_an_argument_that_a_table_lacks_is_named_with_those_it_has(
  parse, tmp_path
):
  path = tmp_path / "variants.py"
  path.write_text(
    "SIZES = {'small': 1, 'large': 2}\n\n\n"
    "def get_config(size):\n  return SIZES[size]\n"
  )
  message = rf"{path}:lage: 'lage' may not follow .*; there are large, small\."
  with pytest.raises(ValueError, match=message):
    parse(f"--config={path}:lage", "--workdir=w")


def test_of_several_tables_the_one_that_was_asked_is_listed_once(
  parse, tmp_path
):
  path = tmp_path / "variants.py"
  path.write_text(
    "SIZES = {'small': 1, 'large': 2}\n"
    "MORE = {'small': 3}\n\n\n"
    "def flat(size):\n  return SIZES[size]\n\n\n"
    "HEADS = {'flat': flat}\n\n\n"
    "def get_config(both):\n"
    "  size, head = both.split(',')\n"
    "  return HEADS[head](size)\n"
  )
  with pytest.raises(ValueError, match=r"'flta' .* there are flat\."):
    parse(f"--config={path}:small,flta", "--workdir=w")
  with pytest.raises(ValueError, match=r"'lage' .* there are large, small\."):
    parse(f"--config={path}:lage,flat", "--workdir=w")


def test_a_config_may_lie_below_the_home_folder(
  parse, write_config, monkeypatch, tmp_path
):
  write_config()
  monkeypatch.setenv("HOME", str(tmp_path))
  for argument in ("--config=~/run.py:large", "--config=~/run.py"):
    assert parse(argument, "--workdir=w", "--config.seed=7").seed == 7


def test_configs_that_come_along_are_found_from_any_folder(
  parse, monkeypatch, tmp_path
):
  monkeypatch.chdir(tmp_path)
  config_files.make_importable()
  config = parse("--config=configs/digits.py", "--workdir=w")
  assert config.data.name == "digits"


def test_a_remote_config_file_is_refused(parse):
  with pytest.raises(ValueError, match=r"gs://bucket/run\.py must be a local"):
    parse("--config=gs://bucket/run.py", "--workdir=w")


def test_our_configs_know_the_papers_names_and_list_what_they_know(parse):
  config_files.make_importable()
  path = "--config=configs/imagenet1k.py"
  large = parse(f"{path}:van_large", "--workdir=w")
  assert large.model.drop_path_rate == 0.2
  with pytest.raises(ValueError, match=r"'van_b9' may not .*van_b0.*van_tiny"):
    parse(f"{path}:van_b9", "--workdir=w")
  with pytest.raises(ValueError, match=r"'tdfs' may not .*there are tfds"):
    parse("--config=configs/cifar10.py:tdfs", "--workdir=w")


def test_a_key_without_a_config_asks_for_one(parse):
  message = r"--config\.seed sets a key of a config, and none is named"
  with pytest.raises(ValueError, match=message):
    parse("--workdir=w", "--config.seed=1")
