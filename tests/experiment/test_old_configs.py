"""Configs that earlier versions wrote are read as configs of now.

old_configs/ holds those of van_jax 0.1.0, as a workdir's config.json has them.
"""

import copy
import importlib
import inspect
import json
import pathlib

import pytest

from van_jax import errors, experiment, models
from van_jax.cli import moved_keys
from van_jax.data.sources import tfds
from van_jax.experiment import (
  changed_arithmetic,
  config_check,
  old_configs,
  ownership,
  running,
)
from van_jax.training.recipe import optimizers

FOLDER = pathlib.Path(__file__).parent / "old_configs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def old(name):
  return json.loads((FOLDER / f"{name}.json").read_text())


def new(name, tiny_config):
  """Returns the config of that name now; tiny_config has made it importable."""
  return importlib.import_module(f"configs.{name}").get_config()


@pytest.mark.parametrize("name", NAMES)
def test_a_config_of_0_1_0_is_that_of_the_same_name_now(name, tiny_config):
  config = new(name, tiny_config).to_dict()
  config["mixing"]["group_size"] = None  # They mixed whole batches,
  config["mesh"]["gradient_dtype"] = "bfloat16"  # and left sums to XLA.
  assert old_configs.upgrade(old(name)) == json.loads(json.dumps(config))


@pytest.mark.parametrize("name", NAMES)
def test_a_config_of_now_stays_as_it_is(name, tiny_config):
  config = json.loads(new(name, tiny_config).to_json())
  assert old_configs.upgrade(config) == config


def test_what_is_upgraded_is_left_as_it_is():
  config = old("digits")
  before = copy.deepcopy(config)
  upgraded = old_configs.upgrade(config)
  upgraded["model"]["attention"]["name"] = "other"
  assert config == before
  assert old_configs.upgrade(config)["model"]["attention"]["name"] == "lka"


def test_values_of_its_own_move_along():
  config = old("digits")
  config["model"] |= {"kernel_size": 35, "gate": "sigmoid"}
  config["model"] |= {"conv_implementation": "xla"}
  config["optimizer"] |= {"beta2": 0.95}
  config["data"] |= {"shuffle_megabytes": 64}
  upgraded = old_configs.upgrade(config)
  assert upgraded["model"]["attention"] == {
    "name": "lka",
    "kernel_size": 35,
    "gate": "sigmoid",
  }
  assert upgraded["model"]["implementation"] == "grouped"
  assert upgraded["optimizer"]["options"] == {"beta2": 0.95}
  assert upgraded["data"]["options"] == {"shuffle_megabytes": 64}


def test_an_option_that_a_folder_had_no_use_for_goes():
  config = old("finetune")
  config["data"] |= {"shuffle_megabytes": 64}
  assert old_configs.upgrade(config)["data"]["options"] == {}


def test_a_run_without_erasing_and_policies_has_none(tiny_config):
  config = old("digits")
  del config["erasing"], config["data"]["on_damaged"]
  for name in ("policy", "repeats", "color_jitter"):
    del config["augmentation"][name]
  upgraded = old_configs.upgrade(config)
  config = json.loads(new("digits", tiny_config).to_json())
  config["mesh"]["gradient_dtype"] = "bfloat16"
  assert upgraded == config


@pytest.mark.parametrize("name", NAMES)
def test_an_old_config_passes_the_checks_of_now(name, tmp_path):
  (tmp_path / "config.json").write_text(json.dumps(old(name)))
  config_check.check_config(old_configs.read(tmp_path).lock())


def test_a_run_of_0_1_0_goes_on(
  tiny_config, data_directory, tmp_path, monkeypatch
):
  monkeypatch.setattr(running, "run", lambda *arguments: {})
  (tmp_path / "config.json").write_text(json.dumps(old("digits")))
  config = new("digits", tiny_config)
  config.data.directory = data_directory
  experiment.train(config, workdir=str(tmp_path))
  config.optimizer.options.beta2 = 0.95
  message = r"optimizer\.options\.beta2 is \(absent\) there, 0\.95 here"
  with pytest.raises(ValueError, match=message):
    experiment.train(config, workdir=str(tmp_path))


def test_a_run_of_whole_batches_goes_on_in_groups_and_is_told_once(
  tiny_config, data_directory, tmp_path, monkeypatch, caplog
):
  monkeypatch.setattr(running, "run", lambda *arguments: {})
  before = old("digits")
  before["mixing"]["mixup_alpha"] = 0.8
  (tmp_path / "config.json").write_text(json.dumps(before))
  config = new("digits", tiny_config)
  config.data.directory = data_directory
  config.mixing.mixup_alpha = 0.8
  config.mixing.group_size = 8
  with caplog.at_level("WARNING"):
    experiment.train(config, workdir=str(tmp_path))
  [line] = [r.getMessage() for r in caplog.records if "earlier" in r.message]
  assert "mixed as bytes in groups of 8" in line
  caplog.clear()
  with caplog.at_level("WARNING"):
    experiment.train(config, workdir=str(tmp_path))
  assert "earlier" not in caplog.text
  config.mixing.group_size = 16
  message = r"mixing\.group_size is 8 there, 16 here"
  with pytest.raises(ValueError, match=message):
    experiment.train(config, workdir=str(tmp_path))


def test_a_run_that_neither_mixes_nor_repeats_is_told_nothing(tiny_config):
  now = new("digits", tiny_config).to_dict()
  assert changed_arithmetic.describe(old("digits"), now) == []
  now["augmentation"]["repeats"] = 3
  [change] = changed_arithmetic.describe(old("digits"), now)
  assert "copies of an image lie far from each other" in change


def test_json_that_is_no_config_is_refused():
  config = old("digits")
  del config["model"]
  with pytest.raises(ValueError, match=r"no section 'model'.*start_over"):
    old_configs.upgrade(config)


DEFAULTS_OF = {
  "model.attention": models.LargeKernelAttention,
  "model": models.VAN,
  "data.options": tfds.opener,
  "optimizer.options": optimizers.adamw,
}


@pytest.mark.parametrize("key", moved_keys.MOVED)
def test_a_moved_value_that_is_left_out_is_the_default_of_now(key):
  """Or an old run would go on with another one, without a word."""
  section, _, name = moved_keys.MOVED[key].to.rpartition(".")
  parameters = inspect.signature(DEFAULTS_OF[section]).parameters
  default = json.loads(json.dumps(parameters[name].default))
  assert default == moved_keys.MOVED[key].usual


@pytest.mark.parametrize("name", ["default", "segmentation"])
def test_a_key_that_came_later_is_added_to_each_kind_of_config(
  name, tiny_config
):
  config = json.loads(new(name, tiny_config).to_json())
  lacking = copy.deepcopy(config)
  del lacking["optimizer"]["options"], lacking["data"]["exif_rotation"]
  assert old_configs.upgrade(lacking) == config


def test_a_config_of_masks_gets_no_key_of_classes(tiny_config):
  config = json.loads(new("segmentation", tiny_config).to_json())
  assert old_configs.upgrade(config) == config


@pytest.mark.parametrize(
  ("there", "here"), [("segmentation", "digits"), ("digits", "segmentation")]
)
def test_a_run_of_classes_does_not_go_on_as_one_of_masks(
  there, here, tiny_config, tmp_path
):
  (tmp_path / "config.json").write_text(new(there, tiny_config).to_json())
  config = json.loads(new(here, tiny_config).to_json())
  with pytest.raises(errors.UserError, match="a run of another config"):
    ownership.check(tmp_path, config)
  changed_arithmetic.warn(tmp_path, config)


def test_colours_may_come_when_a_run_of_masks_goes_on(tiny_config, tmp_path):
  text = new("segmentation", tiny_config).to_json()
  (tmp_path / "config.json").write_text(text)
  config = json.loads(text)
  config["data"]["options"]["class_colors"] = [[0, 0, 0]] * 150
  ownership.check(tmp_path, config)
