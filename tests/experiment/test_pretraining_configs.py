"""ImageNet-21k's pretraining, and its fine-tuning to 1k."""

import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from van_jax import released
from van_jax.cli import config_files
from van_jax.experiment import config_check
from van_jax.models import variants
from van_jax.training.recipe import pretrained

# Parameters with 1,000 classes, as published.
PUBLISHED = {
  "van_b4": 60_283_176,
  "van_b5": 89_967_688,
  "van_b6": 283_897_096,
  "van_b6_paper": 199_829_416,
}


@pytest.fixture
def configs(tiny_config):
  """Returns the function from a name to a config file's module."""
  del tiny_config  # It has made them importable.
  return lambda name: importlib.import_module(f"configs.{name}")


def parameters(config):
  shapes = config_check.abstract_variables(config)["params"]
  return sum(math.prod(x.shape) for x in jax.tree.leaves(shapes))


@pytest.mark.parametrize("name", ["van_b4", "van_b5", "van_b6", "van_b6_paper"])
def test_pretraining_is_of_the_published_size(configs, name):
  config = configs("imagenet21k").get_config(name).lock()
  config_check.check_config(config)
  config_check.check_trainable(config)
  width = variants.VARIANTS[name].widths[-1]
  wider_head = (21_841 - 1_000) * (width + 1)
  assert parameters(config) == PUBLISHED[name] + wider_head


@pytest.mark.parametrize("size", [224, 384])
@pytest.mark.parametrize("name", ["van_b4", "van_b5", "van_b6"])
def test_fine_tuning_is_of_the_published_size(configs, name, size):
  config = configs("imagenet1k_finetune").get_config(f"{name},{size}").lock()
  config_check.check_config(config)
  config_check.check_trainable(config)
  assert config.augmentation.image_size == config.preprocessing.image_size
  assert config.preprocessing.image_size == size
  names = [row.name for row in released.list_pretrained()]
  assert config.pretrained_bundle in names
  if size == 384:  # Tracing takes seconds, and sees no pixels.
    assert parameters(config) == PUBLISHED[name]


def test_at_384_images_are_warped_and_not_cropped(configs):
  config = configs("imagenet1k_finetune").get_config("van_b4,384")
  shown = config.preprocessing
  assert (shown.resize_mode, shown.resize_size) == ("warp", shown.image_size)


@pytest.mark.parametrize(
  ("file", "argument", "said"),
  [
    ("imagenet21k", "van_b9", "'van_b9' may not follow the colon; there are"),
    (
      "imagenet1k_finetune",
      "van_b4,385",
      "'van_b4,385' may not follow the colon; there are van_b4,384",
    ),
  ],
)
def test_another_argument_is_told_what_there_is(
  configs, root, file, argument, said
):
  def parse(found):
    return configs(file).get_config(found.rpartition(":")[2])

  given = f"{root / 'configs' / file}.py:{argument}"
  with pytest.raises(ValueError, match=said):
    config_files.load(given, parse)


def test_a_new_head_is_scaled_and_an_old_one_is_not():
  fresh = {
    "params": {"head": {"kernel": jnp.full((4, 3), 2.0)}, "x": jnp.ones(1)}
  }
  old = {
    "params": {"head": {"kernel": jnp.full((4, 5), 7.0)}, "x": jnp.zeros(1)}
  }
  merged = pretrained.merge(fresh, old, head_scale=0.25)["params"]
  np.testing.assert_array_equal(merged["head"]["kernel"], np.full((4, 3), 0.5))
  np.testing.assert_array_equal(merged["x"], [0])
  same = {
    "params": {"head": {"kernel": jnp.full((4, 3), 7.0)}, "x": jnp.ones(1)}
  }
  merged = pretrained.merge(fresh, same, head_scale=0.25)["params"]
  np.testing.assert_array_equal(merged["head"]["kernel"], np.full((4, 3), 7.0))
