"""A config's sections: the one table of what is built from each.

The keys of a section are the keywords of what it is for: the signature is the
schema. The same row checks a config and builds a run.
"""

import contextlib
import functools
import inspect
import math
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from van_jax import data, errors, models
from van_jax.cli import dotted_keys, moved_keys, open_sections, schema
from van_jax.training.recipe import (
  erasing,
  losses,
  mixing,
  optimizers,
  schedules,
)

Config = Any  # A ConfigDict: type checkers do not know its attributes.


def _nothing() -> dict[str, Any]:
  return {}


class Section(NamedTuple):
  """A row of the table.

  Attributes:
    builder: takes the section's keys as keywords, and `given`.
    given: returns those of its arguments that come from elsewhere, with values
      to try it on; called under `jax.eval_shape`, so nothing is computed.
    tried: whether a check calls it; not what reads files.
    shared: those of its arguments that are keys of other sections, and the
      keys; left at their defaults in a config without them.
  """

  builder: Callable[..., Any]
  given: Callable[[], dict[str, Any]] = _nothing
  tried: bool = True
  shared: Mapping[str, str] = types.MappingProxyType({})


def _any_options(**options: Any) -> dict[str, Any]:
  return options


def _batch(dtype: Any) -> dict[str, Any]:
  return {"key": jax.random.key(0), "images": jnp.zeros((2, 32, 32, 3), dtype)}


SECTIONS = {
  "model": Section(models.create_model),
  "data": Section(data.open_source, tried=False),
  "augmentation": Section(data.Augmentation),
  "preprocessing": Section(
    data.Preprocessing, shared={"exif_rotation": "data.exif_rotation"}
  ),
  "mixing": Section(
    mixing.mix,
    lambda: {
      **_batch(jnp.uint8),
      "labels": jnp.zeros(2, jnp.int32),
      "num_classes": 2,
    },
  ),
  "erasing": Section(erasing.erase, lambda: _batch(jnp.float32)),
  "loss": Section(losses.create_loss),
  "schedule": Section(
    schedules.create_schedule, lambda: {"steps_per_epoch": 1}
  ),
  "optimizer": Section(
    optimizers.create_optimizer,
    lambda: {"schedule": optax.constant_schedule(1.0)},
  ),
  "xla_flags": Section(_any_options),  # Which there are, the compiler knows.
}

# Keys that a run reads one by one; "" is the top.
PLAIN_KEYS = {
  "": (
    "seed",
    "batch_size",
    "accumulation_steps",
    "pretrained_bundle",
    "pretrained_head_scale",
    "compilation_cache",
  ),
  "task": ("name", "options"),
  "ema": ("decay", "warmup"),
  "checkpoint": ("every_epochs", "keep_last", "keep_best"),
  "evaluation": ("every_epochs", "batch_size", "averaged_weights"),
  "logging": ("every_steps", "profile_first_step", "profile_steps"),
  "deadlines": (
    "start_up_seconds",
    "barrier_seconds",
    "compile_seconds",
    "restore_seconds",
    "step_seconds",
    "save_seconds",
    "evaluation_seconds",
  ),
  "mesh": ("fsdp", "gradient_dtype"),
}


# Keys that may be None beside those whose builders say so in an annotation.
_NULLABLE = {
  "pretrained_bundle",
  "compilation_cache",
  "model.widths",
  "model.depths",
  "model.ffn_ratios",
  "ema.decay",
  "evaluation.every_epochs",
  "checkpoint.every_epochs",
  "logging.every_steps",
}
# A run has both.
_NEEDED = {"data.train_split", "data.eval_split"}


def build(config: Config, name: str, **given: Any) -> Any:
  """Returns what a section is for.

  Args:
    config: of the run.
    name: of the section.
    **given: arguments that come from elsewhere, or stand in for the config's.
  """
  row = SECTIONS[name]
  shared = {
    argument: dotted_keys.get(config, key)
    for argument, key in row.shared.items()
    if dotted_keys.has(config, key)
  }
  return row.builder(**{**config[name].to_dict(), **shared, **given})


def bound(config: Config, name: str) -> Callable[..., Any]:
  """Returns what a section is for, with its keys bound and `given` to come."""
  return functools.partial(SECTIONS[name].builder, **config[name].to_dict())


def check(config: Config) -> None:
  """Raises UserError unless all keys are read and all sections can be built.

  What reads files is left out, and no device is touched.
  """
  moved_keys.check(config)
  schema.check_keys(
    config.to_dict(),
    sections={
      name: (row.builder, _given_names(row)) for name, row in SECTIONS.items()
    },
    plain=PLAIN_KEYS,
  )
  _check_numbers(config)
  for name, row in SECTIONS.items():
    if row.tried:
      with naming(name):
        _try(config, name)


def may_be_none(key: str) -> bool:
  """Returns whether a dotted key may be None; not of an open section."""
  section, _, name = key.rpartition(".")
  if key in _NULLABLE or section not in SECTIONS:
    return key in _NULLABLE
  builder = models.VAN if section == "model" else SECTIONS[section].builder
  parameter = inspect.signature(builder).parameters.get(name)
  annotated = parameter is not None and "None" in str(parameter.annotation)
  return annotated and key not in _NEEDED


def _check_numbers(config: Config) -> None:
  """Raises UserError for a None that nothing takes, a NaN and an infinity."""
  for key in dotted_keys.leaves(config):
    value = dotted_keys.get(config, key)
    is_open = key.startswith(tuple(f"{name}." for name in open_sections.OPEN))
    if value is None and not is_open and not may_be_none(key):
      raise errors.UserError(
        f"config.{key}=None must have a value; configs/default.py has one, and "
        "says which keys may be None."
      )
    values = value if isinstance(value, tuple | list) else [value]
    if key.endswith(".every_epochs") and value == math.inf:
      continue  # Never, as None.
    if any(isinstance(v, float) and not math.isfinite(v) for v in values):
      raise errors.UserError(f"config.{key}={value} must be a finite number.")


def _given_names(row: Section) -> set[str]:
  names = set(row.shared)
  jax.eval_shape(lambda: names.update(row.given()))
  return names


def _try(config: Config, name: str) -> None:
  """Builds a section for its errors alone."""

  def attempt():
    build(config, name, **SECTIONS[name].given())

  jax.eval_shape(attempt)


@contextlib.contextmanager
def naming(section: str) -> Iterator[None]:
  """Turns a TypeError within into a UserError that names the section.

  A ConfigDict keeps a key's type, and not those of a tuple's elements.
  """
  try:
    yield
  except TypeError as error:
    raise errors.UserError(
      f"config.{section} has a value of a wrong type: {error}; "
      "configs/default.py shows the right ones."
    ) from error
