"""Right and wrong answers, with the images and where the network looked."""

from collections.abc import Sequence

import numpy as np

from van_jax.analysis.report import legend, numbers, pictures
from van_jax.analysis.report.examined import Examined, Picture
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run
from van_jax.evaluation.answers import NO_ANSWER


def section(runs: Sequence[Run], examined: Sequence[Examined]) -> Markup:
  """Returns the section of examples, a part for each run."""
  parts = [
    _of_run(number, run, found, is_open=number == 0)
    for number, (run, found) in enumerate(zip(runs, examined, strict=True))
    if found.pictures
  ]
  missing = [
    element("p", f"{run.name}: {found.missing}", class_="note")
    for run, found in zip(runs, examined, strict=True)
    if found.answers is not None and not found.pictures
  ]
  return joined(*parts, *missing)


def _of_run(number: int, run: Run, found: Examined, *, is_open: bool) -> Markup:
  figures = [_figure(found, picture) for picture in found.pictures]
  return element(
    "details",
    element("summary", legend.mark(number, run.name)),
    element(
      "p",
      "Wrong answers are those that it was surest of; right ones are spread "
      "evenly over the images.",
      class_="note",
    ),
    element("div", *figures, class_="examples"),
    element("p", found.missing, class_="note") if found.missing else None,
    open=is_open,
  )


def _figure(found: Examined, picture: Picture) -> Markup:
  answers = found.answers
  assert answers is not None
  label = int(answers.labels[picture.index])
  predicted = int(answers.classes[picture.index, 0])
  right = label == predicted
  said = "no answer" if predicted == NO_ANSWER else found.names[predicted]
  sure = numbers.percent(float(answers.probabilities[picture.index, 0]))
  shown = [
    _image(picture.image, f"{picture.name}, of class {found.names[label]}")
  ]
  shown += [
    element(
      "span",
      _image(
        pictures.overlay(picture.image, heat), f"{title} over {picture.name}"
      ),
      element("small", title),
      class_="map",
    )
    for title, heat in picture.maps.items()
  ]
  caption = (
    f"{found.names[label]}, {sure}"
    if right
    else f"{found.names[label]}, taken for {said}, {sure}"
  )
  return element(
    "figure",
    element("div", *shown, class_="strip"),
    element(
      "figcaption",
      element("strong", "right: " if right else "wrong: "),
      caption,
      element("br"),
      element("small", picture.name),
    ),
    class_="example right" if right else "example wrong",
  )


def _image(image: np.ndarray, text: str) -> Markup:
  return element("img", src=pictures.data_uri(image), alt=text)
