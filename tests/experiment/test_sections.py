"""The table of what is built from a config's sections."""

import importlib

import pytest

from van_jax import data
from van_jax.cli import dotted_keys
from van_jax.experiment import config_check, scoring, section_table, sections


def test_every_section_of_the_default_is_read(tiny_config):
  names = set(tiny_config().to_dict())
  plain = section_table.PLAIN_KEYS.keys() - {""} | set(
    section_table.PLAIN_KEYS[""]
  )
  assert names == section_table.SECTIONS.keys() | plain


def test_none_stands_for_the_variants_own(tiny_config):
  model = sections.build(tiny_config(**{"model.widths": None}), "model")
  assert model.widths == (32, 64, 160, 256)
  assert model.depths == (1, 1, 1, 1)


def test_a_given_argument_stands_in_for_the_configs(tiny_config):
  model = sections.build(tiny_config(), "model", num_classes=3)
  assert model.num_classes == 3


@pytest.mark.parametrize("turning", [False, True])
def test_evaluation_turns_images_as_training_does(tiny_config, turning):
  config = tiny_config(**{"data.exif_rotation": turning})
  assert sections.build(config, "data").exif_rotation is turning
  assert sections.build(config, "preprocessing").exif_rotation is turning


def test_a_config_without_a_shared_key_has_the_default(tiny_config):
  config = tiny_config().unlock()
  del config.data.exif_rotation
  assert not sections.build(config, "preprocessing").exif_rotation


@pytest.mark.parametrize("turning", [False, True])
def test_weights_keep_their_rotation_unless_a_user_overrides_it(turning):
  own = data.Preprocessing(exif_rotation=turning)
  assert scoring.overridden_preprocessing(own, {}) == own
  changed = scoring.overridden_preprocessing(
    own, {"data.exif_rotation": not turning}
  )
  assert changed.exif_rotation is not turning


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"model.widths": (8, 8)}, "widths"),
    ({"model.drop_path_rate": 2.0}, "drop_path_rate"),
    ({"mixing.cutmix_alpha": -1.0}, "cutmix_alpha"),
    ({"augmentation.crop": "corner"}, "corner"),
    ({"optimizer.weight_decay": -1.0}, "weight_decay"),
    (
      {"preprocessing.mean": (127.5, 127.5, 127.5)},
      r"mean=\(0\.5, 0\.5, 0\.5\)",
    ),
  ],
)
def test_a_check_builds_each_section(tiny_config, changes, message):
  with pytest.raises(ValueError, match=message):
    sections.check(tiny_config(**changes))


@pytest.mark.parametrize(
  ("key", "now"),
  [
    ("model.kernel_size", "model.attention.kernel_size"),
    ("data.shuffle_megabytes", "data.options.shuffle_megabytes"),
  ],
)
def test_a_config_file_of_before_hears_where_a_key_went(tiny_config, key, now):
  config = tiny_config().unlock()
  section, name = key.split(".")
  config[section][name] = 1
  with pytest.raises(ValueError, match=f"config.{key} is now config.{now};"):
    sections.check(config)


@pytest.mark.parametrize(
  "key",
  [
    "pretrained_bundle",
    "compilation_cache",
    "model.widths",
    "model.layer_scale_init",
    "model.batch_norm_group_size",
    "optimizer.gradient_clip_norm",
    "ema.decay",
    "evaluation.every_epochs",
    "checkpoint.every_epochs",
    "logging.every_steps",
  ],
)
def test_none_is_a_value_where_something_takes_it(tiny_config, key):
  config_check.check_config(tiny_config(**{key: None}))


def test_whatever_is_none_by_default_may_be_none(tiny_config):
  config = importlib.import_module("configs.default").get_config()
  nones = [
    key
    for key in dotted_keys.leaves(config)
    if dotted_keys.get(config, key) is None
  ]
  assert "ema.decay" in nones
  assert all(map(sections.may_be_none, nones))
