"""Which of the metrics are drawn, in which order, under which titles."""

from collections.abc import Sequence

from van_jax.analysis.report import charts, legend, numbers, scores
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run

# Metric: title. In this order; all others of training follow by name.
_TITLES = {
  "train/loss": "Training loss",
  "eval/loss": "Evaluation loss",
  "eval/top1": "Evaluation top-1",
  "eval/top5": "Evaluation top-5",
  "eval/mean_per_class_accuracy": "Evaluation accuracy, mean over classes",
  "train/top1": "Training top-1",
  "train/learning_rate": "Learning rate",
  "train/grad_norm": "Gradient norm",
}
_LOGARITHMIC = ("loss", "grad_norm")
SPEED = {
  "progress/images_per_second": "Images a second",
  "progress/data_wait": "Share of time without data",
}


def section(runs: Sequence[Run]) -> Markup:
  """Returns the section of curves."""
  there = {name for run in runs for name in run.history}
  shown = [name for name in _TITLES if name in there]
  shown += [name for name in scores.names(runs) if name not in shown]
  shown += sorted(
    name for name in there if name.startswith("train/") and name not in shown
  )
  drawn = [chart(runs, name, _TITLES.get(name, name)) for name in shown]
  if not any(drawn):
    return element("p", "Nothing has been measured yet.")
  return joined(legend.legend(runs), grid(drawn))


def grid(drawn: Sequence[Markup | None]) -> Markup:
  """Returns charts beside one another where there is room."""
  return element("div", *drawn, class_="charts")


def chart(runs: Sequence[Run], name: str, title: str) -> Markup | None:
  """Returns the chart of a metric; None where no run has measured it."""
  scale = 100 if numbers.is_fraction(name) else 1
  lines = []
  for number, run in enumerate(runs):
    series = run.history.get(name)
    if series is not None and len(series.steps):
      values = scale * series.values
      lines.append(charts.Line(number, run.name, series.steps, values))
  if not lines:
    return None
  may_be_log = name.rpartition("/")[2] in _LOGARITHMIC
  unit = " (%)" if scale == 100 else ""
  return charts.chart(
    f"{title}{unit}",
    lines,
    last_step=max(run.last_step for run in runs),
    may_be_log=may_be_log,
  )
