"""Which recipe fit makes of what it is told, and what it refuses."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import van_jax
from van_jax import data, errors
from van_jax.lab import given_data, parts, planning

HOW: dict[str, Any] = {"epochs": 10, "batch_size": 16}


@pytest.fixture(scope="module")
def source(quarters):
  return given_data.opened(quarters, 0.2, directory="")


def plan(stranger, source, **changes) -> Any:
  return planning.plan(stranger, source, **HOW | changes)


def test_nothing_said_is_the_official_recipe_at_the_images_size(
  stranger, source
):
  planned = plan(stranger, source)
  assert planned.augmentation == data.Augmentation(image_size=32)
  assert planned.preprocessing == data.Preprocessing(
    image_size=32, resize_size=32
  )
  assert planned.told["mixing"] == planned.told["optimizer"] == {}


@pytest.mark.parametrize(
  ("side", "image_size", "resize_size"), [(8, 32, 32), (48, 48, 48)]
)
def test_images_are_shown_whole_at_their_own_size(
  stranger, side, image_size, resize_size
):
  images = np.zeros((128, side, side), np.uint8)
  own = given_data.opened((images, np.arange(128) % 4), None, directory="")
  shown = plan(stranger, own).preprocessing
  assert (shown.image_size, shown.resize_size) == (image_size, resize_size)


def test_larger_images_are_cropped_as_officially(stranger, source):
  shown = plan(stranger, source, preprocessing={}, image_size=32).preprocessing
  assert shown.resize_size == 32
  images = np.zeros((128, 64, 64, 3), np.uint8)
  own = given_data.opened((images, np.arange(128) % 4), None, directory="")
  shown = plan(stranger, own, image_size=32).preprocessing
  assert shown.resize_size == math.floor(32 / 0.9)


def test_without_random_crops_evaluation_sees_what_training_does(stranger):
  images = np.zeros((128, 32, 64, 3), np.uint8)
  images[:, :, :8] = 255  # A crop of the middle would miss it.
  labels = np.arange(128) % 4
  own = given_data.opened((images, labels), None, directory="")
  planned = plan(stranger, own, without="all", image_size=32)
  seen = data.preprocess_image(images[0], planned.preprocessing)
  assert seen[:, 0].min() == 255
  assert seen[:, 8:].max() == 0
  assert plan(stranger, own).preprocessing.resize_mode == "short_side"


def test_a_short_run_warms_up_for_a_tenth_and_ends_low(stranger, source):
  planned = plan(stranger, source)
  assert planned.total_steps == 80  # 128 of 160 images, in batches of 16.
  rates = [float(planned.schedule(step)) for step in range(80)]
  assert np.argmax(rates) == 8
  assert rates[8] == pytest.approx(1e-3)
  assert rates[-1] < 1e-5


def test_the_official_course_is_there_by_name(stranger, source):
  own = {"name": "official", "warmup_epochs": 5.0, "cooldown_epochs": 10.0}
  planned = plan(stranger, source, epochs=300, schedule=own)
  assert planned.total_steps == 310 * 8
  assert float(planned.schedule(0)) == pytest.approx(1e-6)
  short = plan(stranger, source, epochs=25, schedule={"name": "official"})
  assert short.told["schedule"]["warmup_epochs"] == 2.0  # It must be whole.


@pytest.mark.parametrize(
  ("part", "section", "changed"),
  [
    ("random_resized_crop", "augmentation", {"crop": "none"}),
    ("flip", "augmentation", {"flip_probability": 0.0}),
    ("mixup", "mixing", {"mixup_alpha": 0.0}),
    (("mixing",), "mixing", {"mixup_alpha": 0.0, "cutmix_alpha": 0.0}),
    ("label_smoothing", "mixing", {"label_smoothing": 0.0}),
    ("erasing", "erasing", {"probability": 0.0}),
    (["weight_decay", "flip"], "optimizer", {"weight_decay": 0.0}),
  ],
)
def test_a_part_is_switched_off_by_name(part, section, changed):
  assert parts.options(part, {})[section] == changed


def test_all_parts_switched_off_leave_plain_training(stranger, source):
  planned = plan(stranger, source, without="all")
  how = planned.augmentation
  assert (how.crop, how.policy, how.color_jitter) == ("none", "none", 0.0)
  rates = [float(planned.schedule(step)) for step in (0, 79)]
  assert rates[0] == pytest.approx(1e-3)
  assert rates[1] < 1e-5


def test_a_stranger_without_batch_norm_can_be_trained(stranger, quarters, how):
  fitted = van_jax.fit(
    stranger, quarters, **how | {"evaluation": None, "epochs": 0.2}
  )
  assert fitted.step == 2
  assert fitted.scores == {}


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"without": "mixin"}, r"without='mixin' is no part.*mixing"),
    ({"mixing": {"mixup": 0.2}}, r"mixing\.mixup .*did you mean mixup_alpha"),
    (
      {"mixing": {"mixup_alpha": 0.2}, "without": "mixing"},
      r"mixing\.mixup_alpha is given, and without='mixup' sets it",
    ),
    ({"augmentation": {"policy": "rand"}}, r"augmentation\.policy='rand'"),
    ({"erasing": {"probability": "high"}}, r"erasing\.probability='high'"),
    ({"erasing": {"probability": 2.0}}, r"^erasing\.probability=2\.0"),
    ({"optimizer": {"name": "adam"}}, r"optimizer\.name='adam' is unknown"),
    ({"optimizer": {"frozen_patterns": ("x",)}}, "matches none"),
    ({"schedule": {"name": "official"}, "epochs": 2.5}, "whole number"),
    ({"ema": {"decay": 1.5}}, r"ema\.decay=1\.5 must be in \[0, 1\)"),
    ({"batch_size": 136}, "batch_size=136 must be at most the 128"),
    ({"batch_size": 12}, "batch_size=12 must be a positive multiple of 8"),
    ({"eval_batch_size": 12}, "eval_batch_size=12 must be"),
    ({"batch_size": 16.0}, r"batch_size=16\.0 must be a whole number"),
    ({"epochs": 0.01}, "is no step"),
    ({"learning_rate": -1.0}, r"^learning_rate=-1\.0 must be positive"),
    ({"seed": -1}, "seed=-1 must be a whole number"),
    ({"seed": jax.random.key(0)}, "seed=Array.* must be a whole number"),
    ({"epochs": 0}, "^epochs=0 must be a number above 0"),
    ({"epochs": math.inf}, "^epochs=inf must be a number above 0"),
    ({"epochs": "3"}, "^epochs='3' must be a number"),
    ({"epochs": True}, "^epochs=True must be a number"),
    ({"learning_rate": "high"}, "^learning_rate='high' must be positive"),
    ({"head_scale": math.nan}, "^head_scale=nan must be a number"),
    ({"eval_every_epochs": None}, "^eval_every_epochs=None must be above 0"),
    (
      {"schedule": {"warmup_epochs": 20.0}},
      r"^schedule\.warmup_epochs=20\.0 must be from 0 to epochs=10",
    ),
    ({"without": 3}, "^without=3 must be a part of the recipe"),
    ({"without": [["mixup"]]}, r"^without=\['mixup'\] is no part"),
    ({"mixing": ["mixup"]}, r"^mixing=\['mixup'\] must be a mapping"),
    ({"mixing": {1: 2}}, r"^mixing=\{1: 2\} must be a mapping"),
    ({"loss": {"options": 3}}, r"^loss\.options=3 must be a mapping"),
    ({"ema": {"decay": "x"}}, r"^ema\.decay='x' must be float or None"),
    ({"variables": [1]}, "^variables is of type list and must be"),
    ({"variables": {"head": 1}}, "^variables is of type dict and must be"),
    (
      {"variables": {"params": {"a": np.zeros(1, np.float16)}}},
      r"^variables\['params'\]\['a'\] is float16 and must be float32",
    ),
    (
      {"variables": {"params": {"a": "b"}}},
      r"^variables\['params'\]\['a'\] is str and must be float32",
    ),
    ({"image_size": 16}, "^image_size=16 must be a whole number"),
    ({"eval_every_epochs": 0}, "eval_every_epochs=0 must be above 0"),
    ({"log_every_steps": 0}, "log_every_steps=0 must be"),
    (
      {
        "loss": {
          "name": "binary_cross_entropy",
          "options": {"target_threshold": 0.0},
        }
      },
      "set label_smoothing to 0",
    ),
    (
      {"variables": {"params": {"head": {"bias": np.zeros(4, "float32")}}}},
      "weights do not fit the model",
    ),
  ],
)
def test_what_cannot_be_is_refused_before_training(
  stranger, source, changes, said
):
  with pytest.raises(errors.UserError, match=said) as info:
    plan(stranger, source, **changes)
  assert "\n" not in str(info.value)


def test_numpys_and_jaxs_numbers_are_numbers(stranger, source):
  given: dict[str, Any] = {
    "epochs": np.float32(2),
    "learning_rate": jnp.float32(0.25),
    "seed": np.int64(3),
    "image_size": np.array(32),
    "log_every_steps": np.uint8(4),
  }
  planned = plan(stranger, source, **given)
  assert (planned.total_steps, planned.seed, planned.log_steps) == (16, 3, 4)
  # What a bundle has to write as JSON.
  assert type(planned.seed) is int
  assert planned.told["learning_rate"] == 0.25
  assert planned.told["schedule"]["epochs"] == 2.0


def test_a_model_that_does_not_suit_is_refused(source, stranger):
  other = stranger.clone(classes=5)
  with pytest.raises(
    errors.UserError, match=r"to \(1, 5\) and must map it to \(1, 4\)"
  ):
    planning.plan(other, source, **HOW)
  with pytest.raises(errors.UserError, match=r"van_b9.* is not a model"):
    planning.plan("van_b9", source, **HOW)


class Odd(nn.Module):
  """Returns what its field makes of images."""

  function: Any
  variables: str = "params"

  @nn.compact
  def __call__(self, images, *, train):
    """Takes what a VAN takes."""
    del train
    self.variable(self.variables, "x", jnp.zeros, 3)
    return self.function(images)


@pytest.mark.parametrize(
  ("model", "said"),
  [
    (None, "^model=None must be a VAN, the name"),
    (nn.relu, "^model=.* must be a VAN"),
    (Odd, r"must be .* an instance of a flax\.linen module, Odd\(\.\.\.\)"),
    (nn.Dense(4), r"^model: Dense.__call__ must take \(images, \*, train\)"),
    (Odd(lambda x: (x, x)), r"to a tuple and must map it to \(1, 4\)"),
    (Odd(lambda x: x[:, :4, 0, 0].astype(int)), "are int32 and must be of a"),
    (Odd(jnp.abs, "cache"), "^model: its init has cache, and what is trained"),
    (nn.Sequential([lambda x, train: x]), "^model: its init has no params"),
  ],
)
def test_what_is_no_model_is_refused(source, model, said):
  with pytest.raises(errors.UserError, match=said):
    planning.plan(model, source, **HOW)


def test_a_module_that_cannot_be_called_is_refused(source):
  said = r"^model: Module.__call__ must take \(images, \*, train\)"
  with pytest.raises(errors.UserError, match=said):
    planning.plan(nn.Module(), source, **HOW)


def test_one_class_is_no_task(stranger, quarters):
  with pytest.raises(errors.UserError, match=r"1 class \(0\), and a class"):
    van_jax.fit(stranger, (quarters[0], 0 * quarters[1]), **HOW)


def test_a_model_of_other_classes_is_refused_with_one_that_fits(
  small, quarters
):
  names = ("a", "b", "c", "d", "e")
  with pytest.raises(
    errors.UserError, match=r"num_classes=4 must be the 5 .*num_classes=5\)"
  ):
    van_jax.fit(small, quarters, class_names=names, **HOW)
  with pytest.raises(errors.UserError, match="gives features"):
    van_jax.fit(small.clone(num_classes=0), quarters, **HOW)


def test_a_name_becomes_a_model_of_the_datas_classes(source):
  assert planning.plan("van_b0", source, **HOW).model.num_classes == 4
