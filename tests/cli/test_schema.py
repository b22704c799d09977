"""The rule that a config's keys are arguments, on small functions."""

import pytest

from van_jax.cli import schema


def optimizer(*, decay, schedule, clip=None):
  """Stands for a part of a run; `schedule` comes from elsewhere."""


def model(name, **overrides):
  """Stands for a part that takes further keywords."""


def check(config):
  schema.check_keys(
    config,
    sections={"optimizer": (optimizer, ("schedule",)), "model": (model, ())},
    plain={"": ("seed",), "logging": ("every_steps",)},
  )


def config(**changes):
  return {
    "seed": 0,
    "logging": {"every_steps": 1},
    "optimizer": {"decay": 0.1},
    "model": {"name": "van_b0"},
  } | changes


@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"optimizer": {"decay": 0.1, "clip": 1.0}},
    {"model": {"name": "van_b0", "widths": (8, 8)}},
  ],
)
def test_keys_that_are_arguments_are_fine(changes):
  check(config(**changes))


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"sead": 1}, r"config\.sead is not a key .* did you mean config\.seed\?"),
    (
      {"optimizer": {"decay": 0.1, "clap": 1}},
      r"config\.optimizer\.clap is not a key .* mean config\.optimizer\.clip\?",
    ),
    (
      {"logging": {"every_steps": 1, "every_step": 1}},
      r"logging\.every_step is not .* mean config\.logging\.every_steps\?",
    ),
  ],
)
def test_an_unknown_key_is_named_with_the_nearest(changes, message):
  with pytest.raises(ValueError, match=message):
    check(config(**changes))


def test_a_key_of_another_section_is_named_with_that_section():
  message = r"config\.every_steps is not .* mean config\.logging\.every_steps\?"
  with pytest.raises(ValueError, match=message):
    check(config(every_steps=3))


def test_a_key_like_no_other_is_named_with_all_there_are():
  with pytest.raises(ValueError, match=r"zzz is .*; the keys are clip, decay"):
    check(config(optimizer={"decay": 0.1, "zzz": 1}))


def test_an_argument_from_elsewhere_is_not_a_key():
  with pytest.raises(ValueError, match=r"optimizer\.schedule is not a key"):
    check(config(optimizer={"decay": 0.1, "schedule": 1}))


@pytest.mark.parametrize(
  ("changes", "name"),
  [
    ({"optimizer": {}}, "optimizer.decay"),
    ({"model": {}}, "model.name"),
    ({"logging": {}}, "logging.every_steps"),
  ],
)
def test_a_key_that_is_missing_is_named(changes, name):
  with pytest.raises(ValueError, match=f"config.{name} is missing"):
    check(config(**changes))


@pytest.mark.parametrize("section", ["optimizer", "logging"])
def test_a_missing_section_is_named(section):
  incomplete = config()
  del incomplete[section]
  with pytest.raises(ValueError, match=rf"config\.{section} is missing"):
    check(incomplete)


@pytest.mark.parametrize("section", ["optimizer", "logging"])
def test_a_value_in_the_place_of_a_section_is_refused(section):
  with pytest.raises(ValueError, match=f"config.{section}=3 must be a section"):
    check(config(**{section: 3}))
