"""Config keys of earlier versions, and where their values belong now."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Moved(NamedTuple):
  """A row of the table.

  Attributes:
    to: the key of now.
    usual: the value, as JSON has it, that says no more than leaving `to` out:
      the default of what takes it.
  """

  to: str
  usual: Any


MOVED = {
  "model.kernel_size": Moved("model.attention.kernel_size", 21),
  "model.dilation": Moved("model.attention.dilation", 3),
  "model.gate": Moved("model.attention.gate", "multiply"),
  "model.lka_convs": Moved(
    "model.attention.convs", ["depthwise", "dilated", "pointwise"]
  ),
  "model.conv_implementation": Moved("model.implementation", "auto"),
  "data.shuffle_megabytes": Moved("data.options.shuffle_megabytes", 512),
  "optimizer.beta1": Moved("optimizer.options.beta1", 0.9),
  "optimizer.beta2": Moved("optimizer.options.beta2", 0.999),
  "optimizer.epsilon": Moved("optimizer.options.epsilon", 1e-8),
}


def check_key(key: str) -> None:
  """Raises ValueError for a dotted key that is another one now."""
  if key in MOVED:
    raise ValueError(
      f"config.{key} is now config.{MOVED[key].to}; set that instead."
    )


def check(config: Mapping[str, Any]) -> None:
  """Raises ValueError if nested dicts have a key that is another one now."""
  for key in MOVED:
    section, name = key.split(".")
    if name in config.get(section, ()):
      check_key(key)
