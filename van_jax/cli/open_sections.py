"""Config sections whose keys depend on a name: any may be set by a flag.

Which keys a named thing has is for its builder to say. ml_collections knows
those of the config file alone, so these flags are taken out before it parses.
"""

import ast
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import logging

from van_jax import errors
from van_jax.cli import dotted_keys

# Section: the key with the name that its other keys belong to.
NAMES = {
  "model.attention": "model.attention.name",
  "model.head": "model.head.name",
  "model.auxiliary": "model.auxiliary.name",
  "data.options": "data.name",
  "task.options": "task.name",
  "loss.options": "loss.name",
  "schedule.options": "schedule.name",
  "optimizer.options": "optimizer.name",
}
# What the compiler of XLA's programs takes has no name that decides the keys.
OPEN = (*NAMES, "xla_flags")
_PREFIX = "config."
_WORD = re.compile(r"[\w.:+-]+")


class Setting(NamedTuple):
  """A key of an open section and the value it was given, as text."""

  section: str
  key: str
  text: str


def take(arguments: Sequence[str]) -> tuple[list[str], list[Setting]]:
  """Returns the other arguments, and what is set in open sections.

  Args:
    arguments: `sys.argv`; flags are written --config.KEY=VALUE, or with a
      space for the equals sign.

  Raises:
    UserError: for a key without a value.
  """
  others, settings = [], []
  rest = list(arguments)
  while rest:
    argument = rest.pop(0)
    flag, equals, text = argument.partition("=")
    dotted = flag.lstrip("-").removeprefix(_PREFIX)
    section = _section(dotted)
    if not section or not argument.startswith(("-" + _PREFIX, "--" + _PREFIX)):
      others.append(argument)
      continue
    if not equals:
      if not rest or rest[0].startswith(("--", "-" + _PREFIX)):
        raise errors.UserError(f"{flag} needs a value: write {flag}=VALUE.")
      text = rest.pop(0)
    settings.append(Setting(section, dotted[len(section) + 1 :], text))
  return others, settings


def apply(config: Any, before: Any, settings: Sequence[Setting]) -> None:
  """Sets keys of open sections in a config.

  What the config file has in such a section is for the name in that file.
  Where a flag names another, it goes: one cannot delete a key by a flag.

  Args:
    config: an unlocked ConfigDict, with all other flags done.
    before: the same as its file makes it.
    settings: in the order of the command line.
  """
  for setting in settings:
    if f"{setting.section}.{setting.key}" in NAMES.values():
      _set(config, setting)
  for section, name in NAMES.items():
    if not all(dotted_keys.has(config, key) for key in (section, name)):
      continue
    if dotted_keys.get(config, name) != dotted_keys.get(before, name):
      _drop(config, section, name, before)
  for setting in settings:
    _set(config, setting)


def value(text: str) -> Any:
  """Returns the Python literal that a text is, or else the text itself.

  Words between commas are a tuple of them; a lone one ends with a comma.

  >>> value("35"), value("7,11"), value("none"), value("None")
  (35, (7, 11), 'none', None)
  >>> value("depthwise,pointwise"), value("depthwise,")
  (('depthwise', 'pointwise'), ('depthwise',))
  """
  try:
    return ast.literal_eval(text.strip())
  except (ValueError, SyntaxError, TypeError):
    words = text.removesuffix(",").split(",")
    if "," in text and all(_WORD.fullmatch(word) for word in words):
      return tuple(words)
    return text


def _section(dotted: str) -> str | None:
  """Returns the open section that a key is in, if any."""
  return next((name for name in OPEN if dotted.startswith(f"{name}.")), None)


def _set(config: Any, setting: Setting) -> None:
  section = dotted_keys.get(config, setting.section)
  given = value(setting.text)
  try:
    section[setting.key] = given
  except TypeError as error:
    kind = section.get_type(setting.key).__name__
    raise errors.UserError(
      f"config.{setting.section}.{setting.key}={setting.text!r} must be of "
      f"type {kind}; the config file has {section[setting.key]!r}."
    ) from error


def _drop(config: Any, section: str, name: str, before: Any) -> None:
  """Removes what a section's file has for another name."""
  own = dotted_keys.get(config, section)
  dropped = [key for key in own if f"{section}.{key}" != name]
  for key in dropped:
    del own[key]
  if dropped:
    logging.warning(
      "config.%s: %s of the config file left out, being for %s=%s and not %s.",
      section,
      ", ".join(dropped),
      name,
      dotted_keys.get(before, name),
      dotted_keys.get(config, name),
    )
