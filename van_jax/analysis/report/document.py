"""The page: its sections in order, and all that it needs within itself."""

import base64
import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from van_jax.analysis.report import (
  account,
  classes,
  curves,
  examples,
  numbers,
  overview,
  palette,
  scores,
  settings,
  standing,
  system,
)
from van_jax.analysis.report.examined import Examined
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run

_HERE = pathlib.Path(__file__).parent


def page(
  runs: Sequence[Run],
  examined: Sequence[Examined],
  *,
  default: Mapping[str, Any],
  made: float,
) -> str:
  """Returns the report as the text of an HTML file.

  It loads nothing: its style, its script and its pictures are in it, and its
  own policy forbids anything else.

  Args:
    runs: one or more, in the order of the page.
    examined: what the weights of each answered.
    default: the config that a single run is compared with.
    made: when, in seconds since 1970.
  """
  sections = {
    "overview": ("Overview", overview.section(runs)),
    "curves": ("Curves", curves.section(runs)),
    "scores": ("Scores", scores.section(runs)),
    "config": ("Config", settings.section(runs, default)),
    "classes": ("Classes", classes.section(runs, examined)),
    "predictions": ("Predictions", examples.section(runs, examined)),
    "time": ("Time", account.section(runs)),
    "ends": ("Where the runs stand", standing.section(runs)),
    "system": ("System", system.section(runs)),
  }
  shown = {key: value for key, value in sections.items() if value[1]}
  links = [
    element("a", name, href=f"#{key}") for key, (name, _) in shown.items()
  ]
  title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
  body = joined(
    element(
      "header",
      element("h1", f"Report: {title}"),
      element("p", f"Made {numbers.moment(made)}.", class_="note"),
      element("nav", *links, aria_label="Sections"),
    ),
    element(
      "main",
      *(
        element("section", element("h2", name), content, id=key)
        for key, (name, content) in shown.items()
      ),
    ),
  )
  return f"<!doctype html>\n{_document(title, body)}\n"


def _document(title: str, body: Markup) -> Markup:
  script = (_HERE / "page.js").read_text(encoding="utf-8")
  digest = hashlib.sha256(script.encode()).digest()
  policy = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{base64.b64encode(digest).decode()}'"
  )
  style = (_HERE / "page.css").read_text(encoding="utf-8") + _colours()
  head = element(
    "head",
    element("meta", charset="utf-8"),
    element("meta", http_equiv="Content-Security-Policy", content=policy),
    element(
      "meta",
      name="viewport",
      content="width=device-width, initial-scale=1",
    ),
    element("title", f"Report: {title}"),
    element("style", Markup(style)),
  )
  return element(
    "html",
    head,
    element("body", body, element("script", Markup(script))),
    lang="en",
  )


def _colours() -> str:
  dark = palette.css(palette.DARK)
  return (
    f":root{{{palette.css(palette.LIGHT)}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"
  )
