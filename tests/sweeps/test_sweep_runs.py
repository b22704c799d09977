"""Which runs of a sweep are started, what becomes of it, and its table.

A run is a process of Python that writes what train.py would leave.
"""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import ml_collections
import pytest
from etils import epath

from van_jax.sweeps import members, run, states, table

CONFIG = ml_collections.ConfigDict(
  {"schedule": {"epochs": 2.0}, "evaluation": {"averaged_weights": True}}
)
TRAIN = """
import json, os, pathlib, sys
workdir, top1 = pathlib.Path(sys.argv[1]), float(sys.argv[2])
(workdir / "bundle").mkdir(parents=True)
(workdir.parent / "log").open("a").write(workdir.name + "\\n")
fields = {
  "format": "van_jax bundle", "format_version": 2, "architecture": {},
  "labels": [], "preprocessing": {}, "weights_sha256": "",
  "source": {"config": json.loads(sys.argv[3]), "step": 12, "top1": top1},
}
(workdir / "bundle" / "bundle.json").write_text(json.dumps(fields))
scores = {"step": 12, "eval/top1": top1, "eval/loss": 1 - top1}
(workdir / "metrics.jsonl").write_text(json.dumps(scores) + "\\n")
print('{"of": "the child"}')
"""


def member(tmp_path, rate, seed, top1=0.5, program=TRAIN, config=CONFIG):
  name = f"rate={rate},seed={seed}"
  workdir = epath.Path(tmp_path / name)
  arguments = (str(workdir), str(top1), config.to_json())
  return members.Member(
    name=name,
    values={"rate": rate, "seed": seed},
    config=config,
    workdir=workdir,
    command=(sys.executable, "-c", program, *arguments),
  )


def sweep(planned, **options):
  outcome = run.Outcome()
  return run.sweep(planned, outcome, score="top1", **options), outcome


def log(tmp_path):
  path = tmp_path / "log"
  return path.read_text().split() if path.exists() else []


@pytest.fixture
def planned(tmp_path):
  scores = [0.5, 0.7, 0.9, 0.9]
  choices = [(rate, seed) for rate in (1, 2) for seed in (0, 1)]
  return [
    member(tmp_path, rate, seed, top1)
    for (rate, seed), top1 in zip(choices, scores, strict=True)
  ]


def test_every_run_has_a_process_and_a_line_has_its_seeds(
  planned, tmp_path, capfd
):
  found, outcome = sweep(planned)
  assert outcome.status == 0
  assert log(tmp_path) == [m.name for m in planned]
  out, err = capfd.readouterr()
  assert out.splitlines() == [
    "| rate | runs | top1, mean | spread |",
    "| --- | --- | --- | --- |",
    "| 1 | 2 of 2 | 0.6 | 0.14142 |",
    "| 2 | 2 of 2 | 0.9 | 0 |",
  ]
  assert "the child" in err
  assert [group["mean"] for group in found["groups"]] == [
    pytest.approx(0.6),
    pytest.approx(0.9),
  ]
  assert json.loads(json.dumps(found))["runs"][3]["top1"] == 0.9


def test_what_is_finished_is_skipped(planned, tmp_path):
  sweep(planned, index=2)
  assert log(tmp_path) == ["rate=2,seed=0"]
  sweep(planned)
  assert log(tmp_path) == [planned[i].name for i in (2, 0, 1, 3)]


def test_a_run_that_is_to_be_longer_now_is_not_finished(tmp_path):
  sweep([member(tmp_path, 1, 0)])
  longer: Any = ml_collections.ConfigDict(CONFIG.to_dict())
  longer.schedule.epochs = 3.0
  assert states.read(member(tmp_path, 1, 0), "top1").finished
  later = member(tmp_path, 1, 0, config=longer)
  assert not states.read(later, "top1").finished


def test_a_failure_ends_no_other_run(planned, tmp_path, capfd):
  planned[1] = member(tmp_path, 1, 1, program="raise SystemExit(3)")
  planned[2] = member(
    tmp_path, 2, 0, program="import os; os.kill(os.getpid(), 9)"
  )
  found, outcome = sweep(planned)
  assert outcome.status == 1
  assert [r["status"] for r in found["runs"]] == [0, 3, 137, 0]
  assert log(tmp_path) == [planned[0].name, planned[3].name]
  said = capfd.readouterr().out
  assert "rate=1,seed=1: failed with status 3, no checkpoint yet" in said
  assert "| 1 | 1 of 2 | 0.5 | - |" in said


def test_a_run_that_can_go_on_stops_the_sweep_with_its_status(
  planned, tmp_path
):
  planned[1] = member(tmp_path, 1, 1, program="raise SystemExit(75)")
  with pytest.raises(SystemExit) as info:
    sweep(planned)
  assert info.value.code == 75
  assert log(tmp_path) == [planned[0].name]


def test_an_array_jobs_status_is_its_runs(planned, tmp_path):
  planned[1] = member(tmp_path, 1, 1, program="raise SystemExit(134)")
  assert sweep(planned, index=1)[1].status == 134


def test_the_table_runs_nothing(planned, tmp_path, capfd):
  sweep(planned, index=0)
  capfd.readouterr()
  sweep(planned, only_table=True)
  assert log(tmp_path) == [planned[0].name]
  assert "rate=2,seed=1: no checkpoint yet" in capfd.readouterr().out


def test_another_score_is_taken_where_a_run_has_it(planned):
  sweep(planned[:1])
  assert states.read(planned[0], "loss").score == 0.5
  with pytest.raises(ValueError, match=r"'top2' is none .* it has loss, top1"):
    states.read(planned[0], "top2")


def test_an_unknown_score_is_told_after_the_first_run(planned, tmp_path):
  with pytest.raises(ValueError, match="'top2' is none of the scores"):
    run.sweep(planned, run.Outcome(), score="top2")
  assert log(tmp_path) == [planned[0].name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_once_and_ends_the_sweep(tmp_path, number):
  child = (
    "import os, signal, sys, time\n"
    "got = []\n"
    f"signal.signal({int(number)}, lambda n, f: got.append(n))\n"
    f"open({str(tmp_path / 'ready')!r}, 'w').close()\n"
    "while not got: time.sleep(0.01)\n"
    "time.sleep(0.2)\n"  # For a second one.
    f"print(len(got), file=open({str(tmp_path / 'got')!r}, 'w'))\n"
    "raise SystemExit(75)\n"
  )
  parent = (
    "import sys\n"
    "from van_jax.sweeps import processes\n"
    "runner = processes.Runner()\n"
    "with runner.passing_on():\n"
    "  status = runner.run([sys.executable, '-c', sys.argv[1]])\n"
    "print(runner.stopped, status)\n"
  )
  process = subprocess.Popen(
    [sys.executable, "-c", parent, child],
    stdout=subprocess.PIPE,
    text=True,
    start_new_session=True,
  )
  while not (tmp_path / "ready").exists():
    time.sleep(0.01)
  os.killpg(process.pid, number)  # As a terminal does: the whole group.
  out, _ = process.communicate(timeout=20)
  assert out.split() == [str(int(number)), "75"]
  assert (tmp_path / "got").read_text() == "1\n"


@pytest.mark.parametrize("before", ["signal.signal(15, signal.SIG_IGN)", ""])
def test_nothing_is_started_after_a_signal(planned, tmp_path, before):
  """Whether the run lives on to its end, or dies of it while it starts."""
  program = f"import os, signal, time; {before}\n"
  program += f"os.kill({os.getpid()}, 15); time.sleep(0.5)"
  planned[0] = member(tmp_path, 1, 0, program=program)
  with pytest.raises(SystemExit) as info:
    sweep(planned)
  assert info.value.code == 75
  assert log(tmp_path) == []


def test_groups_are_told_apart_by_all_but_the_seed(planned):
  now = [states.State(False, 0, None)] * 4
  assert [dict(g.values) for g in table.groups(planned, now)] == [
    {"rate": 1},
    {"rate": 2},
  ]
