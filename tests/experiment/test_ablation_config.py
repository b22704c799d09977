"""configs/ablation.py: every row at every scale, and what it refuses."""

import importlib

import pytest

from van_jax import errors, models
from van_jax.cli import config_files
from van_jax.experiment import config_check


@pytest.fixture
def ablation(tiny_config):
  """Returns the config file's module."""
  del tiny_config  # It has made them importable.
  return importlib.import_module("configs.ablation")


def test_there_is_a_row_an_ablation(ablation):
  assert ablation.ROWS.keys() == models.ABLATIONS.keys()


@pytest.mark.parametrize("scale", ["imagenet1k", "cifar10", "digits"])
@pytest.mark.parametrize("name", models.ABLATIONS)
def test_a_row_is_the_ablations_network(ablation, name, scale):
  config = ablation.get_config(f"{name},{scale}")
  expected = models.create_ablation(
    name,
    num_classes=1000 if scale == "imagenet1k" else 10,
    drop_path_rate=config.model.drop_path_rate,
    batch_norm_group_size=config.model.batch_norm_group_size,
  )
  assert models.create_model(**config.model) == expected


@pytest.mark.parametrize(
  ("run", "file", "argument"),
  [
    ("w_o_dw", "imagenet1k", ("van_b0",)),
    ("van_b3_w_o_ls,imagenet1k", "imagenet1k", ("van_b3",)),
    ("lska53,cifar10", "cifar10", ()),
    ("dense21,digits", "digits", ()),
  ],
)
def test_all_but_the_network_is_the_scales_recipe(
  ablation, run, file, argument
):
  config = ablation.get_config(run)
  base = importlib.import_module(f"configs.{file}").get_config(*argument)
  config_check.check_config(config.copy_and_resolve_references().lock())
  base.model.name = config.model.name
  base.model.layer_scale_init = config.model.layer_scale_init
  base.model.attention = config.model.attention
  assert config.to_dict() == base.to_dict()


def test_a_config_leaves_the_dilation_to_lka(ablation):
  config = ablation.get_config("van_b0,digits")
  # As by --config.model.attention.kernel_size=28, and so on.
  config.model.attention.update({"kernel_size": 28, "dilation": None})
  config_check.check_config(config.lock())
  model = models.create_model(**config.model)
  assert model.attention == models.create_ablation("k28_d4").attention


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("w_o_dwd", r"'w_o_dwd' may not follow the colon; there are w_o_dw"),
    ("add,cifar", r"'cifar' may not follow the colon; there are cifar10"),
  ],
)
def test_an_unknown_row_or_scale_is_answered_with_the_nearest(
  ablation, argument, message
):
  def parse(found):
    return ablation.get_config(found.rpartition(":")[2])

  with pytest.raises(errors.UserError, match=message):
    config_files.load(f"{ablation.__file__}:{argument}", parse)
