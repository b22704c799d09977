"""Config keys of earlier versions, and where their values belong now."""

from typing import Any, NamedTuple

from van_jax import errors
from van_jax.cli import dotted_keys


class Moved(NamedTuple):
  """A row of the table.

  Attributes:
    to: the key of now.
    usual: the value, as JSON has it, that says no more than leaving `to` out:
      the default of what takes it.
    unless: a key and a value of it, beside which the old key meant nothing.
    renamed: an old value, and what it is called now.
  """

  to: str
  usual: Any
  unless: tuple[str, Any] | None = None
  renamed: tuple[str, str] | None = None


MOVED = {
  "model.kernel_size": Moved("model.attention.kernel_size", 21),
  "model.dilation": Moved("model.attention.dilation", 3),
  "model.gate": Moved("model.attention.gate", "multiply"),
  "model.lka_convs": Moved(
    "model.attention.convs", ["depthwise", "dilated", "pointwise"]
  ),
  # It was of depthwise convolutions alone, and "xla" now is of everything.
  "model.conv_implementation": Moved(
    "model.implementation", "auto", renamed=("xla", "grouped")
  ),
  "data.shuffle_megabytes": Moved(
    "data.options.shuffle_megabytes", 512, unless=("data.name", "folder")
  ),
  "optimizer.beta1": Moved("optimizer.options.beta1", 0.9),
  "optimizer.beta2": Moved("optimizer.options.beta2", 0.999),
  "optimizer.epsilon": Moved("optimizer.options.epsilon", 1e-8),
}


def check_key(key: str) -> None:
  """Raises UserError for a dotted key that is another one now."""
  if key in MOVED:
    raise errors.UserError(
      f"config.{key} is now config.{MOVED[key].to}; set that instead."
    )


def check(config: Any) -> None:
  """Raises UserError if a config has a key that is another one now."""
  for key in MOVED:
    if dotted_keys.has(config, key):
      check_key(key)


def take(config: Any) -> dict[str, Any]:
  """Removes the keys that are others now; returns what they say, by new key.

  Args:
    config: nested dicts, or an unlocked ConfigDict.
  """
  taken = {}
  for key, row in MOVED.items():
    if not dotted_keys.has(config, key):
      continue
    section, name = key.split(".")
    value = config[section][name]
    del config[section][name]
    plain = list(value) if isinstance(value, tuple) else value
    if plain != row.usual and not _idle(config, row):
      before, now = row.renamed or (None, None)
      taken[row.to] = now if value == before else value
  return taken


def _idle(config: Any, row: Moved) -> bool:
  """Returns whether the old key meant nothing in this config."""
  if row.unless is None or not dotted_keys.has(config, row.unless[0]):
    return False
  return dotted_keys.get(config, row.unless[0]) == row.unless[1]
