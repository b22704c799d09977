"""The page of runs: its numbers are the workdirs', in whatever state."""

import contextlib
import json
import math
import os
import re
import socket

import jax
import numpy as np
import pytest

from van_jax import errors
from van_jax.analysis import report
from van_jax.analysis.report import account, endings, examined as examined_lib
from van_jax.evaluation.answers import NO_ANSWER, Answers
from van_jax.training.run import goodput, history, lock, starts


def answers_of(labels, predicted, sure=None):
  predicted = np.array(predicted, np.int32)
  sure = np.full(len(predicted), 0.5) if sure is None else sure
  return Answers(
    labels=np.array(labels, np.int32),
    classes=predicted[:, None],
    probabilities=np.array(sure, np.float32)[:, None],
  )


def test_scores_are_the_best_and_last_of_the_history(make_workdir, make_page):
  workdir = make_workdir(steps=10)
  series = history.read_history(workdir)["eval/top1"]
  best = series.values.argmax()
  _, page = make_page(workdir)
  assert page.row("top1") == [
    f"{100 * series.values[best]:.2f} %",
    str(series.steps[best]),
    f"{100 * series.values[-1]:.2f} %",
    "10",
  ]
  # Of losses the lowest: 4 / step.
  assert page.row("loss") == ["0.4", "10", "0.4", "10"]


def test_scores_of_several_runs_are_beside_one_another(make_workdir, make_page):
  workdirs = [make_workdir("a", steps=4), make_workdir("b", steps=6)]
  _, page = make_page(*workdirs)
  assert page.row("a", "1") == ["4", "1", "4"]  # Of the loss, 4 / step.
  assert page.row("b", "0.66667") == ["6", "0.66667", "6"]
  assert "loss (lower is better)" in page.text


def test_curves_hold_the_history(make_workdir, make_page):
  workdir = make_workdir(steps=10)
  text, _ = make_page(workdir)
  charts = [
    json.loads(found)
    for found in re.findall(
      r'<script type="application/json">(.*?)</script>', text
    )
  ]
  loss = next(c for c in charts if c["lines"][0]["values"][0] == 8)
  assert loss["lines"][0]["steps"] == list(range(1, 11))
  assert loss["lines"][0]["values"] == pytest.approx(
    [8 / n for n in range(1, 11)], rel=1e-5
  )  # Six digits.


def test_config_differences_are_the_keys_that_differ(
  make_workdir, make_page, base_config
):
  other = {**base_config, "seed": 7, "model": {"name": "van_b1"}}
  a, b = make_workdir("a"), make_workdir("b", config=other)
  _, page = make_page(a, b)
  assert page.row("seed") == ["0", "7"]
  assert page.row("model.name") == ['"van_b0"', '"van_b1"']
  assert page.row("model.num_classes") == ["3", "-"]
  assert not [r for r in page.rows if r[0] == "batch_size"]
  assert "All other keys (3) are the same." in page.text


def test_a_single_run_is_compared_with_the_default(
  make_workdir, make_page, base_config
):
  _, page = make_page(
    make_workdir(), default={**base_config, "batch_size": 1024}
  )
  assert page.row("batch_size") == ["1024", "16"]


def test_time_is_the_account_of_the_run(make_workdir, make_page):
  workdir = make_workdir(steps=10)
  _, page = make_page(workdir)
  shares = page.row("run", "0m10s")  # 6 s of steps, 2 of data, 2 of start-up.
  assert shares[:4] == ["1", "0", "60.0 %", "20.0 %"]
  assert "105.5" in page.text  # The median of 101 to 110 images a second.
  assert "25.0 %" in page.text  # Of the wait for data.
  (run,) = report.read([workdir])
  assert sum(account.shares(run).values()) == pytest.approx(1)


def test_restarts_are_told(make_workdir, make_page):
  workdir = make_workdir(steps=10)
  path = workdir / goodput.NAME
  fields = json.loads(path.read_text())
  fields |= {"runs": 3, "steps_recomputed": 1234}
  fields["seconds"]["restart"] = 10.0
  path.write_text(json.dumps(fields))
  _, page = make_page(workdir)
  assert page.row("run", "0m20s")[:3] == ["3", "1,234", "30.0 %"]


def test_every_cell_of_a_small_confusion_matrix_is_there(
  make_workdir, make_page
):
  labels, predicted = [0, 0, 0, 1, 1, 2, -1], [0, 0, 1, 1, 2, 2, 0]
  found = report.Examined(
    answers=answers_of(labels, predicted), names=("cat", "dog", "<b>&")
  )
  _, page = make_page(make_workdir(), examined=[found])
  rows = [row for row in page.rows if len(row) == 4 and row[0] in found.names]
  assert rows == [
    ["cat", "2", "1", ""],
    ["dog", "", "1", "1"],
    ["<b>&", "", "", "1"],
  ]
  assert "4 of 6 images right." in page.text
  assert page.row("cat", "66.7 %") == []
  assert page.row("dog", "50.0 %") == []


def test_of_many_classes_the_most_confused_pairs_are_there(
  make_workdir, make_page
):
  names = tuple(f"class {i}" for i in range(1000))
  labels = [*range(1000), 3, 3, 3, 9, 9]
  predicted = [*range(1000), 5, 5, 7, 8, 8]
  found = report.Examined(answers=answers_of(labels, predicted), names=names)
  text, page = make_page(make_workdir(), examined=[found])
  assert page.row("class 3", "class 5") == ["2", "50.0 %"]
  assert page.row("class 9", "class 8") == ["2", "66.7 %"]
  assert "The 3 pairs that are mistaken most often" in page.text
  assert len(text) < 500_000
  assert page.row("class 999", "100.0 %") == []


def test_wrong_answers_come_first_by_how_sure_they_were():
  labels = [0, 0, 0, 0, 0, -1]
  predicted = [0, 1, 1, 0, 0, 1]
  answers = answers_of(labels, predicted, [0.9, 0.6, 0.8, 0.5, 0.4, 1.0])
  assert examined_lib.choose(answers, 4) == [2, 1, 0, 4]
  assert examined_lib.choose(answers, 1) == [0]
  assert examined_lib.choose(answers, 20) == [2, 1, 0, 3, 4]
  all_right = answers_of([0, 0], [0, 0])
  assert examined_lib.choose(all_right, 4) == [0, 1]


def test_pictures_are_in_the_page_with_their_maps(make_workdir, make_page):
  image = np.full([32, 32, 3], 128, np.uint8)
  maps = {"Grad-CAM": np.eye(4, dtype=np.float32)}
  found = report.Examined(
    answers=answers_of([0, 1], [0, NO_ANSWER], [0.75, math.nan]),
    names=("cat", "dog", "<b>&"),
    pictures=[
      report.Picture(index=i, name=f"image<{i}>", image=image, maps=maps)
      for i in (1, 0)
    ],
  )
  _, page = make_page(make_workdir(), examined=[found])
  sources = [a["src"] for name, a in page.elements if name == "img"]
  assert len(sources) == 4
  assert all(source.startswith("data:image/png;base64,") for source in sources)
  assert "cat, 75.0 %" in page.text
  assert "dog, taken for no answer" in page.text
  assert "image<1>" in page.text


def test_a_map_is_laid_over_where_it_is_high():
  from van_jax.analysis.report import pictures

  image = np.zeros([16, 16, 3], np.uint8)
  heat = np.zeros([2, 2], np.float32)
  heat[0, 1] = 1
  over = pictures.overlay(image, heat)
  assert over.shape == image.shape
  assert over[0, 15].tolist() == [153, 144, 72]  # 0.6 of the brightest colour.
  assert over[15, 0].tolist() == [0, 0, 0]


def test_what_strangers_named_is_text(make_workdir, make_page, base_config):
  hostile = "</script><img src=x onerror=alert(1)>"
  config = {**base_config, "data": {"name": hostile}, hostile: hostile}
  workdir = make_workdir(f"a<b>{'x' * 300}"[:200], config=config)
  lines = (workdir / history.NAME).read_text().splitlines()
  fields = json.loads(lines[-1]) | {f"eval/{hostile}": 1.0}
  (workdir / history.NAME).write_text(json.dumps(fields) + "\n")
  (workdir / "hang-0.txt").write_text(hostile)
  found = report.Examined(missing=hostile)
  text, page = make_page(workdir, examined=[found])
  assert "<img" not in text
  assert "onerror" not in {n for _, attrs in page.elements for n in attrs}
  assert page.text.count(hostile) >= 4


def test_a_page_loads_nothing(make_workdir, make_page):
  text, page = make_page(make_workdir("a"), make_workdir("b"))
  loading = {"link", "iframe", "object", "embed", "video", "audio", "base"}
  assert not loading & {name for name, _ in page.elements}
  for _, attributes in page.elements:
    assert not attributes.get("src") or attributes["src"].startswith("data:")
    assert not attributes.get("href") or attributes["href"].startswith("#")
  assert not re.search(r"https?:|//[a-z]|url\(|@import", text)
  policy = [a for name, a in page.elements if "http-equiv" in a]
  assert "default-src 'none'" in policy[0]["content"]


def test_tables_and_charts_are_named_for_those_who_hear_them(
  make_workdir, make_page
):
  text, page = make_page(make_workdir("a"), make_workdir("b"))
  names = [name for name, _ in page.elements]
  assert names.count("h1") == 1
  for name, attributes in page.elements:
    if name == "th":
      assert attributes["scope"] in ("row", "col")
    if name == "svg":
      assert "aria-label" in attributes or attributes["aria-hidden"] == "true"
  ids = [a["id"] for _, a in page.elements if "id" in a]
  assert len(ids) == len(set(ids))
  links = re.findall(r'href="#(\w+)"', text)
  assert set(links) <= set(ids)


def test_twelve_runs_are_on_one_page_in_their_order(make_workdir, make_page):
  names = [f"lr={n}/seed=0" for n in range(12)]
  _, page = make_page(*(make_workdir(name) for name in names))
  assert "Report: 12 runs" in page.text
  buttons = [a["data-run"] for name, a in page.elements if name == "button"]
  assert buttons == [str(n) for n in range(12)]
  listed = [
    row[0] for row in page.rows if len(row) == 10 and row[1] == "stopped"
  ]
  assert listed == names


def test_thousands_of_steps_make_a_page_of_bounded_size(
  make_workdir, make_page
):
  workdir = make_workdir(steps=2)
  rows = [
    json.dumps({"step": n, "train/loss": 2 + math.sin(n), "train/top1": 0.5})
    for n in range(1, 30_001)
  ]
  rows[20_000] = json.dumps({"step": 20_001, "train/loss": 99.5})
  (workdir / history.NAME).write_text("\n".join(rows))
  text, _ = make_page(workdir)
  assert len(text) < 150_000
  assert "99.5" in text  # The one that stands out.


def test_losses_that_are_no_numbers_are_told(make_workdir, make_page):
  workdir = make_workdir(steps=2)
  with open(workdir / history.NAME, "a") as file:
    file.write('{"step": 3, "train/loss": "NaN", "eval/top1": "NaN"}\n')
  _, page = make_page(workdir)
  assert "Not finite: run at step 3 (nan), 1 in all." in page.text
  best = 100 * math.sin(2) ** 2
  assert page.row("top1") == [f"{best:.2f} %", "2", "nan", "3"]


def test_one_step_is_enough(make_workdir, make_page):
  _, page = make_page(make_workdir(steps=1))
  assert "No run has been evaluated yet." in page.text
  assert "8" in page.text


def empty_metrics(workdir):
  (workdir / history.NAME).write_text("")


def numbers_too_large(workdir):
  line = {"step": 1, "train/loss": 10**400}
  (workdir / history.NAME).write_text(json.dumps(line))


def no_metrics(workdir):
  (workdir / history.NAME).unlink()


def half_a_line(workdir):
  path = workdir / history.NAME
  path.write_bytes(path.read_bytes()[:-20])


def damaged_config(workdir):
  (workdir / "config.json").write_text('{"seed": ')


def damaged_account(workdir):
  (workdir / goodput.NAME).write_text("[1, 2]")


def damaged_names(workdir):
  (workdir / "class_names.json").write_bytes(b"\xff")


def damaged_bundle(workdir):
  (workdir / "bundle").mkdir()
  (workdir / "bundle" / "bundle.json").write_text("{}")


def words_for_numbers(workdir):
  line = {"step": 1, "train/loss": "high", "progress/seconds_left": [3]}
  (workdir / history.NAME).write_text(json.dumps(line))


@pytest.mark.parametrize(
  ("damage", "said"),
  [
    (empty_metrics, "Nothing has been measured yet."),
    (numbers_too_large, "too large"),
    (no_metrics, "metrics.jsonl cannot be read"),
    (half_a_line, "step 10"),
    (damaged_config, "config.json is damaged"),
    (damaged_account, "No run has kept an account of its time."),
    (damaged_names, "class_names.json is damaged"),
    (damaged_bundle, "bundle is damaged"),
    (words_for_numbers, "Nothing has been measured yet."),
  ],
)
def test_a_damaged_run_has_a_page_that_says_so(
  make_workdir, make_page, damage, said
):
  workdir = make_workdir()
  damage(workdir)
  _, page = make_page(workdir)
  assert said in page.text


def test_a_folder_without_a_run_is_refused_in_a_line(make_workdir, tmp_path):
  run = make_workdir()
  for given in ([tmp_path], [tmp_path / "absent"], [run, run]):
    with pytest.raises(errors.UserError, match=r"WORKDIR .*; name"):
      report.read(given)


def held_by(workdir, **changes):
  owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": "today"}
  (workdir / lock.NAME).write_text(json.dumps(owner | changes))


def test_a_finished_run_is_told_by_its_bundle(make_workdir):
  (run,) = report.read([make_workdir(finished=True)])
  assert endings.ending(run).kind == endings.FINISHED
  assert run.total_steps == 10


def test_a_run_that_gave_its_workdir_back_has_stopped(make_workdir):
  (run,) = report.read([make_workdir(steps=4, total=10)])
  found = endings.ending(run)
  assert found.kind == endings.STOPPED
  assert "after step 4 of 10" in found.why
  assert "No checkpoint is there" in found.why


def test_a_run_that_said_why_it_ended_is_quoted(make_workdir, make_page):
  workdir = make_workdir(steps=4)
  with (
    contextlib.suppress(errors.UserError),
    starts.recorded(workdir, lambda: 1e9),
  ):
    raise errors.UserError("loss is nan at step 4.")
  _, page = make_page(workdir)
  assert "after step 4 of 10: UserError: loss is nan at step 4. No" in page.text
  row = page.row("run", "2001-09-09 01:46 UTC")
  assert row[:2] == ["2001-09-09 01:46 UTC", "UserError: loss is nan at step 4"]
  assert f"jax {jax.__version__}" in row[-1]


def test_a_run_whose_process_lives_is_going_on(make_workdir):
  workdir = make_workdir(steps=4)
  held_by(workdir)
  (run,) = report.read([workdir])
  assert endings.ending(run).kind == endings.RUNNING


def test_a_run_whose_process_is_gone_was_killed(make_workdir):
  workdir = make_workdir(steps=4)
  held_by(workdir, pid=2**30)
  (run,) = report.read([workdir])
  found = endings.ending(run)
  assert found.kind == endings.KILLED
  assert "after step 4 of 10" in found.why
  assert "2001-09-09 01:46 UTC" in found.why  # 1e9 s after 1970.


def test_of_a_run_on_another_host_it_is_not_known(make_workdir):
  workdir = make_workdir(steps=4)
  held_by(workdir, host="elsewhere")
  (run,) = report.read([workdir])
  assert endings.ending(run).kind == endings.HELD


def test_stacks_of_a_hang_are_on_the_page(make_workdir, make_page):
  workdir = make_workdir()
  (workdir / "hang-0.txt").write_text("process 0 hangs in step\nThread <1>\n")
  _, page = make_page(workdir)
  assert "process 0 hangs in step\nThread <1>" in page.text
