"""ImageNet-21k's pretraining, and its fine-tuning to 1k."""

import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import van_jax
from van_jax import experiment, released
from van_jax.cli import config_files
from van_jax.experiment import config_check
from van_jax.experiment.dry_run import compiler, examples, trial
from van_jax.models import variants
from van_jax.training.recipe import pretrained

# Parameters with 1,000 classes, as published.
PUBLISHED = {
  "van_b4": 60_283_176,
  "van_b5": 89_967_688,
  "van_b6": 283_897_096,
  "van_b6_paper": 199_829_416,
}


# A network that compiles in seconds; all else is the config's own.
TINY = {
  "model.widths": (8, 8, 16, 16),
  "model.depths": (1, 1, 1, 1),
  "model.ffn_ratios": (2, 2, 2, 2),
  "model.implementation": "xla",
  "augmentation.image_size": 32,
  "preprocessing.image_size": 32,
  "compilation_cache": "",
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


@pytest.mark.parametrize(
  ("file", "batch_size", "classes", "steps"),
  [
    ("imagenet21k", 8192, 21_841, None),  # TFDS' catalog does not have it.
    ("imagenet1k_finetune", 512, 1000, 30 * 2502),
  ],
)
def test_a_dry_run_compiles_its_steps(
  configs, tmp_path, file, batch_size, classes, steps
):
  config = configs(file).get_config()
  config.update_from_flattened_dict(
    {**TINY, "data.directory": str(tmp_path / "nowhere")}
  )
  request = trial.Request(
    config=config.to_dict(),
    topology=f"cpu:{jax.device_count()}",
    examples=examples.find(config),
    steps=trial.STEPS,
  )
  answer = compiler.answer(request)
  assert [step.fits for step in answer.steps.values()] == [True, True]
  assert answer.training.images == batch_size // jax.device_count()
  assert answer.total_steps == steps
  assert answer.parameters == parameters(config) > 16 * classes


def _images(folder, classes, **splits):
  """Writes so many small photographs a split, dealt out to the classes."""
  rng = np.random.default_rng(0)
  for split, count in splits.items():
    for i in range(count):
      path = folder / split / f"n{i % classes:08d}" / f"{i}.JPEG"
      path.parent.mkdir(parents=True, exist_ok=True)
      coarse = rng.integers(0, 256, (3, 4, 3), np.uint8)
      Image.fromarray(coarse).resize((40, 44)).save(path)
  return str(folder)


def test_two_steps_of_pretraining_and_two_of_fine_tuning(configs, tmp_path):
  few = {**TINY, "evaluation.batch_size": 8, "logging.every_steps": 1}
  config = configs("imagenet21k").get_config("van_b4")
  config.update_from_flattened_dict(
    {
      **few,
      "model.num_classes": 5,
      "data.directory": _images(tmp_path / "21k", 5, train=130),
      "batch_size": 128,  # A group; of 130 images one is kept for evaluation.
      "schedule.epochs": 2.0,
      "schedule.warmup_epochs": 1.0,
    }
  )
  experiment.train(config, workdir=str(tmp_path / "b4_21k"))
  pretrained = van_jax.load_bundle(tmp_path / "b4_21k" / "bundle")
  assert pretrained.variables["params"]["head"]["kernel"].shape == (16, 5)

  config = configs("imagenet1k_finetune").get_config("van_b4,224")
  config.update_from_flattened_dict(
    {
      **few,
      "pretrained_bundle": str(tmp_path / "b4_21k" / "bundle"),
      "model.num_classes": 3,
      "data.name": "folder",
      "data.directory": _images(tmp_path / "1k", 3, train=16, validation=6),
      "batch_size": 8,
      "schedule.epochs": 1.0,
    }
  )
  scores = experiment.train(config, workdir=str(tmp_path / "b4"))
  assert scores["count"] == 6
  loss = van_jax.read_history(tmp_path / "b4")["train/loss"]
  assert len(loss.steps) == 2
  # Of a head that starts at a thousandth: all classes are alike to it.
  np.testing.assert_allclose(loss.values, np.log(3), atol=1e-3)
