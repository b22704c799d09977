"""Workdirs as runs leave them, written by what writes them in a run."""

import html.parser
import json
import math

import pytest

from van_jax.analysis import report
from van_jax.bundle import description
from van_jax.training.run import (
  class_names,
  goodput,
  history,
  phases as phases_lib,
  workdir as workdir_lib,
)

CONFIG = {
  "seed": 0,
  "batch_size": 16,
  "model": {"name": "van_b0", "num_classes": 3},
  "schedule": {"learning_rate": 1e-3, "epochs": 2.0},
}
VOID = ("br", "col", "img", "input", "meta")


class Tree(html.parser.HTMLParser):
  """Reads a page strictly: each element that is opened is closed in turn."""

  def __init__(self, text):
    super().__init__(convert_charrefs=True)
    self.open, self.words, self.elements, self.rows = [], [], [], []
    self.feed(text)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attrs):
    """Opens an element."""
    self.elements.append((tag, dict(attrs)))
    if tag == "tr":
      self.rows.append([])
    if tag in ("td", "th"):
      self.rows[-1].append("")
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    """Closes the element that was opened last."""
    assert self.open.pop() == tag

  def handle_data(self, data):
    """Takes text that is shown."""
    if "script" in self.open or "style" in self.open:
      return
    self.words.append(data)
    if "td" in self.open or "th" in self.open:
      self.rows[-1][-1] += data

  @property
  def text(self):
    """All text that is shown."""
    return "\n".join(self.words)

  def row(self, *start):
    """Returns what follows in the only row that begins with these cells."""
    (found,) = [r for r in self.rows if r[: len(start)] == list(start)]
    return found[len(start) :]


@pytest.fixture
def tree():
  return Tree


@pytest.fixture
def base_config():
  """Returns the config of workdirs that are given no other."""
  return CONFIG


@pytest.fixture
def make_workdir(tmp_path):
  """Returns a function that writes a run of so many steps.

  Its loss falls as 8 / step, it is evaluated every other step, and its time is
  that of a clock which ticks a second for each step and half of one for data.
  """

  def make(name="run", *, steps=10, total=10, config=CONFIG, finished=False):
    folder = tmp_path / name
    workdir_lib.claim(folder, config)
    class_names.write(folder, ["cat", "dog", "<b>&"])
    lines = history.HistoryWriter(folder, last_step=0)
    for step in range(1, steps + 1):
      scalars = {
        "train/loss": 8 / step,
        "train/learning_rate": 1e-3 * step / total,
        "progress/images_per_second": 100.0 + step,
        "progress/data_wait": 0.25,
        "progress/seconds_left": (total - step) * 16 / (100.0 + step),
      }
      if step % 2 == 0:
        scalars["eval/top1"] = math.sin(step) ** 2
        scalars["eval/loss"] = 4 / step
        scalars["eval/count"] = 42.0
      lines.write(step, scalars)
    lines.flush()
    _account(folder, steps)
    if finished:
      bundle = folder / "bundle"
      bundle.mkdir()
      names = ("architecture", "labels", "preprocessing", "weights_sha256")
      fields = {name: {} for name in names} | {"source": {"step": steps}}
      description.write(bundle, fields)
    return folder

  return make


def _account(folder, steps):
  now = [0.0]
  phases = phases_lib.Phases(clock=lambda: now[0])
  account = goodput.Goodput(
    folder, phases, first_step=0, wall=lambda: 1e9 + now[0]
  )
  for name, seconds in ((phases_lib.STEP, 6.0), (phases_lib.DATA, 2.0)):
    with phases.phase(name):
      now[0] += seconds
  now[0] += 2.0  # In none of them: the start-up.
  account.note(steps)


@pytest.fixture
def make_page(tree):
  """Returns a function from workdirs to the text of their page, parsed."""

  def make(*workdirs, examined=None, default=CONFIG):
    runs = report.read(workdirs)
    examined = examined or [report.Examined() for _ in runs]
    text = report.page(
      runs, examined, default=json.loads(json.dumps(default)), made=1.7e9
    )
    return text, tree(text)

  return make
