"""A workdir that is removed, or taken over, in mid-run: the run ends."""

import pathlib

import pytest

from van_jax import errors, experiment
from van_jax.experiment import resuming
from van_jax.training.run import lock, progress, workdir as workdir_lib

DYING = pathlib.Path(__file__).parent / "dying.py"


def test_a_removed_workdir_ends_the_run_and_needs_no_start_over(
  run, tiny_config, tmp_path
):
  folder = tmp_path / "run"
  # Perhaps in the midst of a save, which makes parts of the folder again.
  process = run(f"{DYING} remove-after-step=4", f"--workdir={folder}")
  assert process.returncode == 1, process.stderr
  last = process.stderr.splitlines()[-1]
  assert last.startswith(f"error: {folder}/")
  assert "was removed while the run was writing to it" in last
  assert "Traceback" not in process.stderr
  assert not (folder / "metrics.jsonl").exists()
  plain = tiny_config().to_dict()
  workdir_lib.check_owner(folder, plain, free=resuming.FREE)


def test_a_run_whose_workdir_is_anothers_by_now_saves_no_more(
  tiny_config, tmp_path, monkeypatch
):
  folder = tmp_path / "run"
  report = progress.Progress.report

  def report_and_lose(self, current):
    if current == 1:
      (folder / lock.NAME).unlink()
      (folder / lock.NAME).write_text('{"pid": 1}')
    return report(self, current)

  monkeypatch.setattr(progress.Progress, "report", report_and_lose)
  with pytest.raises(errors.UserError, match="taken over by another run"):
    experiment.train(tiny_config(), workdir=str(folder))
  assert list((folder / "checkpoints").iterdir()) == []
