"""benchmarks/dry_runs.py: goes on where it was, and fills docs/pods.md."""

import importlib.util
import json

import pytest
from commands import ROOT

REPORT = {
  "fits": True,
  "topology": "v5e:16x16",
  "chips": 256,
  "batch_size": 1024,
  "training": {
    "fits": True,
    "compile_seconds": 295.4,
    "argument_bytes": 58_000_000,
    "temporary_bytes": 858_000_000,
    "peak_bytes": None,
    "seconds_by_schedule": 0.01,
    "collectives": [{"bytes": 8_900_000}, {"bytes": 9_700_000}],
  },
}
REFUSED = {
  **REPORT,
  "fits": False,
  "training": {"fits": False, "compile_seconds": 12.0},
}


@pytest.fixture(scope="module")
def dry_runs():
  path = ROOT / "benchmarks" / "dry_runs.py"
  spec = importlib.util.spec_from_file_location("dry_runs", path)
  assert spec
  assert spec.loader
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_a_row_has_what_the_report_says(dry_runs):
  run = dry_runs.Run("v5e:16x16", "van_b0", 1024)
  assert dry_runs.row(run, REPORT) == (
    "| v5e:16x16 | B0 | 1,024 | 295 | 58 / 858 / - | 18.6 | 102,400 | yes |"
  )
  assert dry_runs.row(run, REFUSED) == (
    "| v5e:16x16 | B0 | 1,024 | 12 | - | - | - | no |"
  )


def test_only_what_is_missing_is_compiled(dry_runs, tmp_path, monkeypatch):
  runs = dry_runs.RUNS[:3]
  (tmp_path / f"{runs[0].name}.json").write_text("{}")
  asked = []

  def dry_run(run):
    asked.append(run)
    return None if run == runs[1] else REPORT

  monkeypatch.setattr(dry_runs, "dry_run", dry_run)
  dry_runs.compile_missing(runs, tmp_path)
  assert asked == list(runs[1:])
  assert dry_runs.read(runs, tmp_path) == {runs[0]: {}, runs[2]: REPORT}


def test_the_table_takes_its_place_in_the_guide(
  dry_runs, tmp_path, monkeypatch
):
  pods = tmp_path / "pods.md"
  pods.write_text(f"before\n\n{dry_runs.BEGIN}\nold\n{dry_runs.END}\n\nafter\n")
  monkeypatch.setattr(dry_runs, "PODS", pods)
  dry_runs.write_table({dry_runs.RUNS[0]: json.loads(json.dumps(REPORT))})
  text = pods.read_text()
  assert text.startswith("before\n\n")
  assert text.endswith("\n\nafter\n")
  assert "| v5e:16x16 | B0 |" in text
  assert "old" not in text
  head, rule = text.splitlines()[3:5]
  assert head.count("|") == rule.count("|")


def test_the_guide_has_a_place_for_the_table(dry_runs):
  text = dry_runs.PODS.read_text()
  assert text.count(dry_runs.BEGIN) == text.count(dry_runs.END) == 1
