"""HTML as values: whatever is not markup already is escaped."""

import html
from typing import Any

_VOID = ("br", "col", "img", "input", "meta")  # They have no end.


class Markup(str):
  """Text that is HTML, and is put into a page as it is."""


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
  """Returns an element.

    element("td", "a < b", class_="key")  # <td class="key">a &lt; b</td>

  Args:
    name: of the element.
    *children: markup as it is, None for nothing, all else as escaped text.
    **attributes: their "_" stand for "-", a last one for nothing; of values
      True is the bare name, None and False leave the attribute out.
  """
  opened = f"<{name}{''.join(map(_attribute, attributes.items()))}>"
  if name in _VOID:
    return Markup(opened)
  return Markup(f"{opened}{joined(*children)}</{name}>")


def joined(*children: Any) -> Markup:
  """Returns markup and escaped text, one after the other."""
  return Markup("".join(map(_text, children)))


def script_json(text: str) -> Markup:
  """Returns JSON as it may stand in a script element, which no "<" ends."""
  return Markup(text.replace("<", "\\u003c"))


def _text(child: Any) -> str:
  if child is None:
    return ""
  if isinstance(child, Markup):
    return child
  return html.escape(_printable(str(child)))


def _attribute(item: tuple[str, Any]) -> str:
  name, value = item
  if value is None or value is False:
    return ""
  name = name.rstrip("_").replace("_", "-")
  if value is True:
    return f" {name}"
  return f' {name}="{html.escape(_printable(str(value)))}"'


def _printable(text: str) -> str:
  """Returns text that is UTF-8: names of files need not be."""
  shown = text.encode("utf-8", "replace").decode("utf-8")
  return "".join(c for c in shown if c.isprintable() or c in "\n\t")
