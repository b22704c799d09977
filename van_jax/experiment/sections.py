"""A config's sections: the one table of what is built from each.

The keys of a section are the keywords of what it is for: the signature is the
schema. The same row checks a config and builds a run.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from van_jax import data, models
from van_jax.cli import moved_keys, schema
from van_jax.training.recipe import (
  erasing,
  mixing,
  optimizers as optimizer_lib,
  schedules as schedule_lib,
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
  """

  builder: Callable[..., Any]
  given: Callable[[], dict[str, Any]] = _nothing
  tried: bool = True


def create_model(
  *,
  widths: tuple[int, ...] | None,
  depths: tuple[int, ...] | None,
  ffn_ratios: tuple[float, ...] | None,
  attention: Mapping[str, Any],
  implementation: str,
  **fields: Any,
) -> models.VAN:
  """Returns `models.create_model`, None standing for the variant's own."""
  stages = {"widths": widths, "depths": depths, "ffn_ratios": ffn_ratios}
  own = {k: v for k, v in stages.items() if v is not None}
  lka = {("lka_convs" if k == "convs" else k): v for k, v in attention.items()}
  if (name := lka.pop("name")) != "lka":
    raise ValueError(f"attention.name={name!r} is unknown; there are lka.")
  fields = {"conv_implementation": implementation, **fields}
  return models.create_model(**own, **lka, **fields)


def create_optimizer(
  *,
  schedule: optax.Schedule,
  name: str,
  options: Mapping[str, Any],
  weight_decay: float,
  gradient_clip_norm: float | None,
  layer_decay: float | None,
  frozen_patterns: Sequence[str],
) -> optax.GradientTransformation:
  """Returns AdamW, the only row, with its options."""
  if name != "adamw":
    raise ValueError(f"optimizer.name={name!r} is unknown; there are adamw.")
  return optimizer_lib.create_optimizer(
    schedule=schedule,
    weight_decay=weight_decay,
    gradient_clip_norm=gradient_clip_norm,
    layer_decay=layer_decay,
    frozen_patterns=frozen_patterns,
    **{"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, **options},
  )


def create_schedule(
  *, options: Mapping[str, Any], **rest: Any
) -> optax.Schedule:
  """Returns a schedule, whose rows have no options yet."""
  return schedule_lib.create_schedule(**options, **rest)


def open_source(*, options: Mapping[str, Any], **rest: Any) -> data.Source:
  """Returns the data, options and all."""
  return data.open_source(**options, **rest)


def _batch() -> dict[str, Any]:
  return {"key": jax.random.key(0), "images": jnp.zeros((2, 32, 32, 3))}


SECTIONS = {
  "model": Section(create_model),
  "data": Section(open_source, tried=False),
  "augmentation": Section(data.Augmentation),
  "preprocessing": Section(data.Preprocessing),
  "mixing": Section(
    mixing.mix,
    lambda: _batch() | {"labels": jnp.zeros(2, jnp.int32), "num_classes": 2},
  ),
  "erasing": Section(erasing.erase, _batch),
  "schedule": Section(create_schedule, lambda: {"steps_per_epoch": 1}),
  "optimizer": Section(
    create_optimizer, lambda: {"schedule": optax.constant_schedule(1.0)}
  ),
}

# Keys that a run reads one by one; "" is the top.
PLAIN_KEYS = {
  "": (
    "seed",
    "batch_size",
    "accumulation_steps",
    "pretrained_bundle",
    "compilation_cache",
  ),
  "task": ("name", "options"),
  "loss": ("name", "options"),
  "ema": ("decay", "warmup"),
  "checkpoint": ("every_epochs", "keep_last", "keep_best"),
  "evaluation": ("every_epochs", "batch_size", "averaged_weights"),
  "logging": ("every_steps", "profile_first_step", "profile_steps"),
}


def build(config: Config, name: str, **given: Any) -> Any:
  """Returns what a section is for.

  Args:
    config: of the run.
    name: of the section.
    **given: arguments that come from elsewhere, or stand in for the config's.
  """
  return SECTIONS[name].builder(**{**config[name].to_dict(), **given})


def check(config: Config) -> None:
  """Raises ValueError unless all keys are read and all sections can be built.

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
  for name, row in SECTIONS.items():
    if row.tried:
      with _naming(name):
        _try(config, name)


def _given_names(row: Section) -> set[str]:
  names: set[str] = set()
  jax.eval_shape(lambda: names.update(row.given()))
  return names


def _try(config: Config, name: str) -> None:
  """Builds a section for its errors alone."""

  def attempt():
    build(config, name, **SECTIONS[name].given())

  jax.eval_shape(attempt)


@contextlib.contextmanager
def _naming(section: str) -> Iterator[None]:
  """Turns a TypeError within into a ValueError that names the section.

  A ConfigDict keeps a key's type, and not those of a tuple's elements.
  """
  try:
    yield
  except TypeError as error:
    raise ValueError(
      f"config.{section} has a value of a wrong type: {error}; "
      "configs/default.py shows the right ones."
    ) from error
