"""Keys such as "model.attention.name", in nested dicts or a ConfigDict."""

from collections.abc import Iterator
from typing import Any


def has(config: Any, key: str) -> bool:
  """Returns whether a config has a dotted key."""
  for name in key.split("."):
    if not hasattr(config, "keys") or name not in config:
      return False
    config = config[name]
  return True


def get(config: Any, key: str) -> Any:
  """Returns the value of a dotted key that is there."""
  for name in key.split("."):
    config = config[name]
  return config


def put(config: Any, key: str, value: Any) -> None:
  """Sets a dotted key, whose section is there."""
  *names, last = key.split(".")
  for name in names:
    config = config[name]
  config[last] = value


def leaves(config: Any, prefix: str = "") -> Iterator[str]:
  """Yields the dotted keys of all values that are no sections."""
  for name in config:
    if hasattr(config[name], "keys"):
      yield from leaves(config[name], f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}"
