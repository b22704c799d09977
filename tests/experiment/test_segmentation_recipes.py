"""ADE20K's recipes against the numbers in VAN-Segmentation's own configs."""

import importlib
import re

import numpy as np
import pytest
from flax import traverse_util

from van_jax.experiment import config_check, parts

IMAGES = 20_210
# Drop path, images a step: configs/sem_fpn and configs/upernet at df79bb3, with
# what they inherit.
PUBLISHED = {
  "van_b0,fpn": (0.2, 32),
  "van_b1,fpn": (0.2, 32),
  "van_b2,fpn": (0.2, 32),
  "van_b3,fpn": (0.3, 32),
  "van_b4,fpn": (0.4, 32),
  "van_b0,upernet": (0.1, 16),
  "van_b1,upernet": (0.1, 16),
  "van_b2,upernet": (0.1, 16),
  "van_b3,upernet": (0.3, 16),
  "van_b4,upernet": (0.4, 32),
  "van_b5,upernet": (0.4, 16),
  "van_b6_paper,upernet": (0.5, 16),
}


@pytest.fixture
def create(tiny_config):
  """Returns the function from an argument to ADE20K's config."""
  del tiny_config  # It has made the configs importable.
  return importlib.import_module("configs.ade20k").get_config


@pytest.mark.parametrize("argument", PUBLISHED)
def test_drop_path_and_batch_are_theirs(create, argument):
  config = create(argument).lock()
  config_check.check_config(config)
  assert (config.model.drop_path_rate, config.batch_size) == PUBLISHED[argument]


def test_older_names_are_of_the_same_recipes(create):
  older = ("van_tiny", "van_small", "van_base", "van_large")
  for head in ("fpn", "upernet"):
    for number, name in enumerate(older):
      config = create(f"{name},{head}").to_dict()
      assert config["model"].pop("name") == name
      same = create(f"van_b{number},{head}").to_dict()
      del same["model"]["name"]
      assert config == same


@pytest.mark.parametrize(
  ("argument", "steps"), [("van_b0,fpn", 40_000), ("van_b4,upernet", 160_000)]
)
def test_updates_are_as_many_as_theirs(create, argument, steps):
  assert parts.recipe_of(create(argument).lock(), IMAGES).total_steps == steps


def test_rates_with_fpn_are_theirs(create):
  """Poly, power 0.9, from 2e-4 at the first update on."""
  rate = parts.recipe_of(create("van_b0,fpn").lock(), IMAGES).schedule
  for step in (0, 1, 500, 20_000, 39_999):
    assert np.isclose(rate(step), 2e-4 * (1 - step / 40_000) ** 0.9, rtol=1e-4)


@pytest.mark.parametrize("argument", ["van_b0,upernet", "van_b4,upernet"])
def test_rates_with_upernet_are_theirs(create, argument):
  """mmcv's: 6e-5 falls from the start on, times a rising factor at first."""
  rate = parts.recipe_of(create(argument).lock(), IMAGES).schedule
  for step in (0, 1, 750, 1_499, 1_500, 1_501, 80_000, 159_999):
    expected = 6e-5 * (1 - step / 160_000)
    if step < 1_500:
      expected *= 1 - (1 - step / 1_500) * (1 - 1e-6)
    # In float32 1 - step / 160,000 is off by 2**-24, and so is the warm-up's.
    assert np.isclose(rate(step), expected, rtol=0, atol=6e-5 * 2**-22), step


@pytest.mark.parametrize(
  ("argument", "decay"), [("van_b0,fpn", 1e-4), ("van_b0,upernet", 0.01)]
)
def test_what_decays_is_theirs(create, argument, decay):
  """With FPN all; with UPerNet all but what is called norm: the backbone's."""
  config = create(argument).lock()
  assert config.optimizer.weight_decay == decay
  params = config_check.abstract_variables(config)["params"]
  names = traverse_util.flatten_dict(params, sep="/")
  patterns = config.optimizer.undecayed_patterns
  spared = {n for n in names if any(re.fullmatch(p, n) for p in patterns)}
  norms = {n for n in names if re.match(r"backbone/.*norm", n)}
  assert spared == (norms if "upernet" in argument else set())
  assert len(norms) > 60
