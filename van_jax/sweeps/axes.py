"""The axes of a sweep: keys of a config, and the values that each takes."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from absl import logging

from van_jax import errors
from van_jax.cli import moved_keys

# Where other trainers have it; here it is the schedule's.
_ELSEWHERE = {"optimizer.learning_rate": "schedule.learning_rate"}
_OPEN, _CLOSED = "([{", ")]}"


class Axis(NamedTuple):
  """A row of a sweep's table of axes.

  Attributes:
    key: of a config, dotted.
    texts: its values, as flags are written.
  """

  key: str
  texts: tuple[str, ...]


def parse(given: Sequence[str]) -> list[Axis]:
  """Returns the axes of KEY=VALUE,VALUE,...

  Commas within brackets divide nothing: model.depths=(1,1,1,1),(2,2,2,2).
  Keys that earlier versions had are those of now.

  Raises:
    UserError: for an axis without key or values, and a key that comes twice.
  """
  axes = []
  for text in given:
    key, equals, values = text.partition("=")
    key = key.strip().removeprefix("--").removeprefix("config.")
    texts = tuple(_split(values))
    if not key or not equals or not all(texts):
      raise errors.UserError(
        f"--axis={text} must be written KEY=VALUE,VALUE,..., such as "
        "--axis=schedule.learning_rate=5e-4,1e-3."
      )
    axes.append(Axis(_of_now(key), texts))
  keys = [axis.key for axis in axes]
  for key in keys:
    if keys.count(key) > 1:
      raise errors.UserError(
        f"--axis={key} comes twice; write all its values in one."
      )
  if not axes:
    raise errors.UserError(
      "a sweep needs an axis: --axis=KEY=VALUE,VALUE,..., such as "
      "--axis=seed=0,1,2."
    )
  return axes


def combinations(axes: Sequence[Axis]) -> Iterator[dict[str, str]]:
  """Yields each choice of values, text by key; the last axis runs fastest."""
  for texts in itertools.product(*(axis.texts for axis in axes)):
    yield {axis.key: text for axis, text in zip(axes, texts, strict=True)}


def _of_now(key: str) -> str:
  now = _ELSEWHERE.get(key, key)
  if key in moved_keys.MOVED:
    now = moved_keys.MOVED[key].to
  if now != key:
    logging.info("--axis %s: the key is config.%s.", key, now)
  return now


def _split(values: str) -> list[str]:
  """Returns what stands between the commas that are in no bracket."""
  found, depth = [""], 0
  for character in values:
    depth += (character in _OPEN) - (character in _CLOSED)
    if character == "," and depth <= 0:
      found.append("")
    else:
      found[-1] += character
  return [text.strip() for text in found]
