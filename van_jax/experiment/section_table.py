"""A config's sections: the one table of what is built from each.

The keys of a section are the keywords of what it is for: the signature is the
schema. A config whose model has a head (`model.head`) is of images with masks,
and has other sections than one of images with a class each.
"""

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from van_jax import data, models
from van_jax.cli import dotted_keys
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


_COMMON = {
  "data": Section(data.open_source, tried=False),
  "schedule": Section(
    schedules.create_schedule, lambda: {"steps_per_epoch": 1}
  ),
  "optimizer": Section(
    optimizers.create_optimizer,
    lambda: {"schedule": optax.constant_schedule(1.0)},
  ),
  "xla_flags": Section(_any_options),  # Which there are, the compiler knows.
}
_ROTATION = types.MappingProxyType({"exif_rotation": "data.exif_rotation"})

SECTIONS = {
  "model": Section(models.create_model),
  "augmentation": Section(data.Augmentation),
  "preprocessing": Section(data.Preprocessing, shared=_ROTATION),
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
  **_COMMON,
}
OF_MASKS = {
  "model": Section(models.create_segmenter),
  "augmentation": Section(data.DenseAugmentation),
  "preprocessing": Section(data.DensePreprocessing, shared=_ROTATION),
  **_COMMON,
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
# How whole images are looked at, in their evaluation; see `evaluation.views`.
_VIEWS = ("ratios", "flip", "window", "stride")
_PLAIN_OF_MASKS = {
  **PLAIN_KEYS,
  "evaluation": (*PLAIN_KEYS["evaluation"], *_VIEWS),
}


def has_masks(config: Config) -> bool:
  """Returns whether a config's labels are masks: its model has a head."""
  return dotted_keys.has(config, "model.head")


def of(config: Config) -> Mapping[str, Section]:
  """Returns the rows for a config."""
  return OF_MASKS if has_masks(config) else SECTIONS


def plain_keys(config: Config) -> Mapping[str, tuple[str, ...]]:
  """Returns the keys that a run of this config reads one by one."""
  return _PLAIN_OF_MASKS if has_masks(config) else PLAIN_KEYS


def is_read(config: Config, key: str) -> bool:
  """Returns whether a run of this kind of config reads a key, or a section.

  Args:
    config: need not be whole.
    key: "SECTION.NAME", or a name of the top.
  """
  section, _, name = key.rpartition(".")
  rows, plain = of(config), plain_keys(config)
  if section not in rows:
    found = name in plain.get(section, ())
    return found or (not section and (name in rows or name in plain))
  parameters = inspect.signature(rows[section].builder).parameters
  kinds = [parameter.kind for parameter in parameters.values()]
  return name in parameters or inspect.Parameter.VAR_KEYWORD in kinds
