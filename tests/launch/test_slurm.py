"""launch/slurm.sh, with programs that stand for Slurm's."""

import os
import signal
import subprocess
import time

import pytest
from commands import ROOT, TRAIN, notes, stand_in, tool

SCRIPT = str(ROOT / "launch" / "slurm.sh")


@pytest.fixture
def slurm(tmp_path):
  """Returns a function that starts the script among stand-ins."""
  for name in ("sbatch", "scontrol"):
    stand_in(tmp_path, name)

  def start(*arguments, srun="", **environment):
    stand_in(tmp_path, "srun", srun)
    return subprocess.Popen(
      [SCRIPT, *arguments],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      cwd=ROOT,
      env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
    )

  return start


def in_job(**more):
  return {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NUM_NODES": "4",
    "SLURM_CPUS_ON_NODE": "96",
    "VAN_JAX_PYTHON": "python3",
    "VAN_JAX_MAX_RESTARTS": "50",
    **more,
  }


def test_shellcheck_has_nothing_to_say():
  process = subprocess.run(
    [tool("shellcheck"), SCRIPT], capture_output=True, text=True
  )
  assert process.returncode == 0, process.stdout


def test_it_submits_itself(slurm, tmp_path):
  arguments = (
    "--nodes=4",
    "--partition=a100",
    "--python=python3",
    "--",
    *TRAIN,
  )
  process = slurm(*arguments)
  _, told = process.communicate()
  assert process.returncode == 0, told
  (words,) = (line.split() for line in notes(tmp_path, "sbatch"))
  assert {
    "--nodes=4",
    "--ntasks-per-node=1",
    "--gpus-per-node=8",
    "--partition=a100",
    "--requeue",
    "--signal=B:TERM@120",
    "--exclusive",
  } <= set(words)
  assert words[-3:] == [SCRIPT, *TRAIN]


def test_it_prints_what_it_would_do(slurm, tmp_path):
  process = slurm("--nodes=4", "--python=python3", "--print", "--", *TRAIN)
  shown, _ = process.communicate()
  assert process.returncode == 0
  assert shown.startswith("sbatch ")
  assert "train.py --config" in shown
  assert "--distributed" in shown
  assert not notes(tmp_path, "sbatch")


@pytest.mark.parametrize("status", [75, 134, 137])
def test_what_passes_goes_back_into_the_queue(slurm, tmp_path, status):
  process = slurm(*TRAIN, srun=f"exit {status}", **in_job())
  process.communicate()
  assert process.returncode == 0
  assert notes(tmp_path, "scontrol") == ["requeue 7"]


@pytest.mark.parametrize("status", [0, 1, 130])
def test_what_is_done_or_comes_again_ends_the_job(slurm, tmp_path, status):
  process = slurm(*TRAIN, srun=f"exit {status}", **in_job())
  process.communicate()
  assert process.returncode == status
  assert not notes(tmp_path, "scontrol")


def test_restarts_have_an_end(slurm, tmp_path):
  environment = in_job(SLURM_RESTART_COUNT="50")
  process = slurm(*TRAIN, srun="exit 75", **environment)
  _, told = process.communicate()
  assert process.returncode == 75
  assert "after 50 restarts" in told
  assert not notes(tmp_path, "scontrol")


def test_a_node_has_one_process_with_all_of_its_cores(slurm, tmp_path):
  slurm(*TRAIN, **in_job()).communicate()
  (words,) = (line.split() for line in notes(tmp_path, "srun"))
  assert "--cpus-per-task=96" in words
  assert words[-5:] == ["python3", "train.py", *TRAIN, "--distributed"]


def test_a_node_alone_is_not_distributed(slurm, tmp_path):
  slurm(*TRAIN, **in_job(SLURM_JOB_NUM_NODES="1")).communicate()
  assert "--distributed" not in notes(tmp_path, "srun")[0]


def test_the_time_limits_signal_reaches_the_run_which_saves(slurm, tmp_path):
  ready, saved = tmp_path / "ready", tmp_path / "saved"
  body = (
    f"trap 'sleep 0.2; touch {saved}; exit 75' TERM\ntouch {ready}\n"
    "while true; do sleep 0.05; done"
  )
  process = slurm(*TRAIN, srun=body, **in_job())
  deadline = time.monotonic() + 20
  while not ready.exists() and time.monotonic() < deadline:
    time.sleep(0.02)
  process.send_signal(signal.SIGTERM)  # As --signal=B:TERM does: to it alone.
  process.communicate(timeout=20)
  assert saved.exists()
  assert notes(tmp_path, "scontrol") == ["requeue 7"]


@pytest.mark.parametrize(
  ("arguments", "told"),
  [
    (["--nodes=none", "--", *TRAIN], "--nodes=none"),
    (["--gpus=0", "--", *TRAIN], "--gpus=0"),
    (["--mem=3", "--", *TRAIN], "--sbatch=OPTION"),
    (["--", TRAIN[0]], "--workdir"),
    (["--", "--config=configs/none.py", TRAIN[1]], "configs/none.py"),
    (["--", TRAIN[0], "--workdir=/tmp/b2"], "another folder on each node"),
    (["--", *TRAIN, "--num_processes=4"], "set by launch/slurm.sh"),
    (["--python=/no/python", "--", *TRAIN], "/no/python is not there"),
  ],
)
def test_bad_input_is_one_line_before_a_job_is_there(
  slurm, tmp_path, arguments, told
):
  process = slurm(*arguments)
  _, line = process.communicate()
  assert process.returncode == 1
  assert line.startswith("error: ")
  assert line.count("\n") == 1
  assert told in line
  assert not notes(tmp_path, "sbatch")


def test_help_says_all_flags(slurm):
  shown, _ = slurm("--help").communicate()
  for flag in ("--nodes", "--gpus", "--time", "--max_restarts", "--print"):
    assert flag in shown
