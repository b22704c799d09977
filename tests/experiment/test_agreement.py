"""Processes of one run find out that they were started for different work."""

import socket

import pytest

from van_jax import errors, experiment
from van_jax.experiment import training

ROLE = "tests/experiment/agreeing.py:agree"


@pytest.fixture(scope="module")
def lines(play, tmp_path_factory):
  """Returns what each of three processes was told, check by check."""
  folder = tmp_path_factory.mktemp("workdirs")
  for name in ("0", "1", "full"):
    (folder / name).mkdir()
  told = [each["value"] for each in play(ROLE, 3, str(folder))]
  return list(zip(*told, strict=True))


def test_other_configs_are_named_with_values_and_processes(lines):
  assert len(set(lines[0])) == 1  # All say the same.
  line = lines[0][0]
  assert "config.batch_size is 64 in processes 0 and 2, 32 in process 1" in line
  assert "config.schedule.learning_rate is 0.002 in processes 0 and 2, 0.5" in (
    line
  )
  assert "data.directory" not in line  # Each host may have its own.
  assert "\n" not in line


def test_what_was_asked_for_beside_the_config_is_compared(lines):
  for line in lines[1]:
    assert "step is latest in process 0, best in processes 1 and 2" in line


def test_other_weights_are_named(lines):
  for line in lines[2]:
    assert line.startswith("process 2 read other weights than process 0")


def test_a_workdir_that_is_not_shared_is_named_with_paths_and_hosts(lines):
  for line in lines[3]:
    assert "workdir is not one folder for all processes" in line
    assert "/0 on " in line
    assert "process 2 cannot see" in line
    assert "/1 on " in line


def test_all_hear_that_the_first_process_cannot_write(lines):
  first, *others = lines[4]
  assert "No space left on device" in first
  for line in others:
    assert "process 0 failed at claiming the workdir" in line
    assert "No space left on device" in line


def test_asking_leaves_nothing_behind(lines):
  # Whoever is refused after it, by the batch size say, has made no folder.
  assert lines[5][0] == [".lock", "0", "1", "full"]


def test_other_sizes_of_evaluation_images_are_named(lines):
  assert set(lines[6]) == {""}
  for line in lines[7]:
    assert line.startswith(
      "processes 1 and 2 found evaluation images of other sizes than process 0"
    )
    assert "copy data.directory again" in line


@pytest.fixture(scope="module")
def refused(start, tmp_path_factory):
  """Returns the workdir, and what became of three processes.

  The first two differ in their learning rate, and the third waits for one that
  nobody starts.
  """
  workdir = tmp_path_factory.mktemp("refused") / "run"
  ports = []
  for _ in range(2):
    with socket.socket() as free:
      free.bind(("127.0.0.1", 0))
      ports.append(free.getsockname()[1])
  started = [
    start(
      "train.py",
      f"--workdir={workdir}",
      f"--coordinator_address=127.0.0.1:{ports[i // 2]}",
      "--num_processes=2",
      f"--process_id={i % 2}",
      f"--config.schedule.learning_rate={0.01 * (i + 1)}",
      *([] if i < 2 else ["--config.deadlines.start_up_seconds=2"]),
    )
    for i in range(3)
  ]
  try:
    outputs = [process.communicate(timeout=300) for process in started]
  finally:
    for process in started:
      process.kill()
  return workdir, [
    (process.returncode, err)
    for process, (_, err) in zip(started, outputs, strict=True)
  ]


def test_runs_of_other_learning_rates_end_in_one_line(refused):
  for status, err in refused[1][:2]:
    assert status == 1, err  # It comes again.
    line = err.splitlines()[-1]
    assert line.startswith("error: the processes were not started for the same")
    assert "config.schedule.learning_rate is 0.01 in process 0, 0.02" in line


def test_one_process_of_two_alone_ends_in_one_line_in_time(refused):
  status, err = refused[1][2]
  assert status == 75, err  # The same command goes on, once the other is there.
  line = err.splitlines()[-1]
  assert line.startswith(
    "error: process 1 of 2 did not come within 2 s to 127."
  )


def test_what_is_refused_has_written_nothing(refused):
  assert not refused[0].exists()


def test_a_run_that_lost_the_lock_to_another_does_not_start_at_step_0(
  run_copy, tiny_config, monkeypatch
):
  # Two are started at once in an empty folder: the other has it first, and is
  # done before this one comes to lock it.
  kept = run_copy.with_name("kept")
  run_copy.rename(kept)
  opened = training.workdir_lib.opened

  def late(folder, *arguments, **options):
    kept.rename(run_copy)
    return opened(folder, *arguments, **options)

  monkeypatch.setattr(training.workdir_lib, "opened", late)
  with pytest.raises(
    errors.UserError, match=r"\[\] when this run looked, and.*12\]"
  ):
    experiment.train(tiny_config(), workdir=str(run_copy))
