"""Docstrings for the site: indented paragraphs are code, and * is a star.

Markdown wants four spaces for code, and the house writes two.
"""

import re
from typing import Any

import griffe

_SECTION = re.compile(r"[A-Z][a-z]+( [a-z]+)?:$")
_SHELL = re.compile(r"(python|make|pip|export) ")


class IndentedCode(griffe.Extension):
  """Puts fences around the indented paragraphs of docstrings."""

  def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
    """Changes an object's docstring before it is parsed."""
    if obj.docstring is not None:
      obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
  """Returns a docstring with fences around its indented paragraphs.

  Those of a section, which its name and a colon begin, stay as they are.
  """
  parts, in_section = [], False
  for paragraph in text.split("\n\n"):
    first, *_ = lines = paragraph.split("\n")
    if not first.startswith(" "):
      in_section = bool(_SECTION.fullmatch(first)) and len(lines) > 1
    if in_section:
      parts.append(paragraph)
      continue
    if not all(line.startswith("  ") for line in lines):
      parts.append(_plain(paragraph))
      continue
    code = "\n".join(line[2:] for line in lines)
    language = "sh" if _SHELL.match(code.lstrip()) else "python"
    parts.append(f"```{language}\n{code}\n```")
  return "\n\n".join(parts)


def _plain(paragraph: str) -> str:
  """Returns a paragraph whose stars, but for those in code, are stars."""
  parts = paragraph.split("`")
  parts[::2] = [part.replace("*", r"\*") for part in parts[::2]]
  return "`".join(parts)
