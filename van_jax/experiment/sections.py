"""A run's parts, built from the sections of its config, and checked."""

import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax

from van_jax import errors, models
from van_jax.cli import dotted_keys, moved_keys, open_sections, schema
from van_jax.experiment import section_table
from van_jax.experiment.section_table import Config as Config

# Keys that may be None beside those whose builders say so in an annotation.
_NULLABLE = {
  "pretrained_bundle",
  "compilation_cache",
  "model.widths",
  "model.depths",
  "model.ffn_ratios",
  "model.auxiliary.name",
  "ema.decay",
  "evaluation.every_epochs",
  "evaluation.window",
  "evaluation.stride",
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
  row = section_table.of(config)[name]
  shared = {
    argument: dotted_keys.get(config, key)
    for argument, key in row.shared.items()
    if dotted_keys.has(config, key)
  }
  return row.builder(**{**config[name].to_dict(), **shared, **given})


def bound(config: Config, name: str) -> Callable[..., Any]:
  """Returns what a section is for, with its keys bound and `given` to come."""
  builder = section_table.of(config)[name].builder
  return functools.partial(builder, **config[name].to_dict())


def check(config: Config) -> None:
  """Raises UserError unless all keys are read and all sections can be built.

  What reads files is left out, and no device is touched.
  """
  moved_keys.check(config)
  rows = section_table.of(config)
  schema.check_keys(
    config.to_dict(),
    sections={
      name: (row.builder, _given_names(row)) for name, row in rows.items()
    },
    plain=section_table.plain_keys(config),
  )
  _check_numbers(config)
  for name, row in rows.items():
    if row.tried:
      with naming(name):
        _try(config, name)


def may_be_none(key: str) -> bool:
  """Returns whether a dotted key may be None; not of an open section."""
  section, _, name = key.rpartition(".")
  if key in _NULLABLE:
    return True
  builders: list[Any] = (
    [models.VAN]
    if section == "model"
    else [
      table[section].builder
      for table in (section_table.SECTIONS, section_table.OF_MASKS)
      if section in table
    ]
  )
  found = [inspect.signature(b).parameters.get(name) for b in builders]
  annotated = any(p is not None and "None" in str(p.annotation) for p in found)
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


def _given_names(row: section_table.Section) -> set[str]:
  names = set(row.shared)
  jax.eval_shape(lambda: names.update(row.given()))
  return names


def _try(config: Config, name: str) -> None:
  """Builds a section for its errors alone."""

  def attempt():
    build(config, name, **section_table.of(config)[name].given())

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
