"""`python -m launch.tpu_vms`: commands for a slice, and what keeps a run."""

import subprocess

import pytest
from commands import TRAIN, notes, stand_in, tool

from launch import command_line, keeping, slice_vms, tpu_vms

PLACE = ["--name=vans", "--project=p", "--zone=us-west4-a"]
SLICE = [*PLACE, "--topology=v5e:16x16", "--image=eu-docker.pkg.dev/p/r/vans:1"]


def run(*arguments):
  return command_line.run(tpu_vms.launch, lambda: tpu_vms.options(arguments))


@pytest.fixture
def gcloud(monkeypatch, tmp_path):
  """Returns a function that makes gcloud's stand-in, and its folder."""
  monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

  def make(body=""):
    stand_in(tmp_path, "gcloud", body)
    return tmp_path

  return make


def test_what_is_printed_is_a_sound_script(gcloud, tmp_path, capsys):
  folder = gcloud()
  assert run("keep", *SLICE, "--print", "--", *TRAIN) == 0
  script = tmp_path / "shown.sh"
  script.write_text(capsys.readouterr().out)
  process = subprocess.run(
    # The words in single quotes are for the VMs' shells.
    [tool("shellcheck"), "--shell=bash", "--exclude=SC2016", str(script)],
    capture_output=True,
    text=True,
  )
  assert process.returncode == 0, process.stdout
  assert not notes(folder, "gcloud")


@pytest.mark.parametrize("script", ["_INSTALL", "_FREE", "_START"])
def test_what_runs_on_the_vms_is_sound(script):
  text = getattr(slice_vms, script)
  if script != "_FREE":
    text = text.format(registry="r", image="i", run="n", train="--config=c")
  process = subprocess.run(
    [tool("shellcheck"), "--shell=bash", "-"],
    input=text,
    capture_output=True,
    text=True,
  )
  assert process.returncode == 0, process.stdout


def test_train_runs_on_all_workers_in_a_clean_environment(gcloud):
  folder = gcloud()
  assert run("run", *SLICE, "--", *TRAIN, "--config.optimizer.name='a b'") == 0
  text = (folder / "gcloud.log").read_text()
  assert text.count("--worker=all") == 2  # Are the chips free? Then go.
  (line,) = (line for line in text.splitlines() if "python train.py" in line)
  assert " ".join(TRAIN) in line
  assert "--distributed" in line
  # The VM's MEGASCALE_* come along only where `docker run` is told so.
  start = slice_vms._START
  assert "--env" not in start
  assert " -e " not in start


def test_chips_that_are_held_start_nothing(gcloud, capsys):
  folder = gcloud('[[ "$*" == *fuser* ]] && echo "busy /dev/vfio/0"')
  assert run("run", *SLICE, "--", *TRAIN) == slice_vms.BUSY
  assert "`recreate`" in capsys.readouterr().err
  assert "python train.py" not in (folder / "gcloud.log").read_text()


@pytest.mark.parametrize("said", ["v5litepod-256", "v5e-256", "v5e:16x16"])
def test_a_slice_has_the_names_that_people_say(gcloud, said):
  folder = gcloud()
  assert run("create", *PLACE, f"--topology={said}") == 0
  (line,) = notes(folder, "gcloud")
  assert "--type=v5litepod --topology=16x16 " in line


def test_recreating_deletes_and_then_creates(gcloud):
  folder = gcloud()
  assert run("recreate", *SLICE) == 0
  words = [line.split()[3:5] for line in notes(folder, "gcloud")]
  assert words == [["delete", "vans"], ["create", "vans"]]
  assert "--type=v5litepod --topology=16x16" in notes(folder, "gcloud")[1]


@pytest.mark.parametrize(
  ("body", "state"),
  [
    ("""echo '{"state": "READY"}'""", "READY"),
    ("""echo '{"state": "PREEMPTED"}'""", "PREEMPTED"),
    ("echo 'ERROR: NOT_FOUND: no such node' >&2; exit 1", "ABSENT"),
  ],
)
def test_the_state_of_a_slice_is_told(gcloud, capsys, body, state):
  gcloud(f"[[ $4 != describe ]] || {{ {body}; }}")
  assert run("status", *PLACE) == 0
  assert capsys.readouterr().out.startswith(f"vans: {state}")


@pytest.mark.parametrize(
  ("arguments", "told"),
  [
    (["create", *PLACE], "--topology"),
    (["create", *PLACE, "--topology=tpu7x:2x2x1"], "launch.gke"),
    (["create", *PLACE, "--topology=h100:8"], "no h100"),
    (["keep", *SLICE, "--topology=2xv5e:4x4", "--", *TRAIN], "several slices"),
    (["run", *PLACE, "--", *TRAIN], "--image"),
    (["run", *SLICE, "--"], "--config"),
    (["delete", *PLACE, "--", *TRAIN], "takes no flags of train.py"),
    (["keep", *SLICE, "--", TRAIN[0], "--workdir=runs"], "must be on gs://"),
  ],
)
def test_bad_input_is_one_line_before_a_slice_is_there(
  gcloud, capsys, arguments, told
):
  folder = gcloud()
  assert run(*arguments) == 1
  line = capsys.readouterr().err
  assert line.startswith("error: ")
  assert line.count("\n") == 1
  assert told in line
  assert not notes(folder, "gcloud")


@pytest.mark.parametrize(
  ("state", "statuses", "step"),
  [
    ("ABSENT", [], "recreate"),
    ("PREEMPTED", [], "recreate"),
    ("CREATING", [], "wait"),
    ("READY", [], "wait"),
    ("READY", [("absent", 0), ("absent", 0)], "run"),
    ("READY", [("running", 0), ("running", 0)], "wait"),
    ("READY", [("exited", 75), ("running", 0)], "wait"),
    ("READY", [("exited", 75), ("exited", 75)], "run"),
    ("READY", [("exited", 137), ("exited", 75)], "run"),
    ("READY", [("exited", 134), ("absent", 0)], "run"),
    ("READY", [("exited", 255), ("exited", 75)], "run"),
    ("READY", [("exited", 1), ("running", 0)], "fail"),
    ("READY", [("exited", 0), ("running", 0)], "wait"),
    ("READY", [("exited", 0), ("exited", 0)], "done"),
  ],
)
def test_what_was_seen_decides_what_comes_next(state, statuses, step):
  assert keeping.decide(state, statuses) == step


class Slice:
  """Stands for a slice: what is seen of it, and what was done with it."""

  name = "vans"

  def __init__(self, *seen, busy=0):
    self.seen = list(seen)
    self.busy = busy
    self.done = []

  def state(self):
    """Returns what is seen next."""
    found = self.seen.pop(0)
    if isinstance(found, Exception):
      raise found
    state, self._statuses = found
    return state

  def statuses(self):
    """Returns what was seen last."""
    return self._statuses

  def run(self, train):
    """Notes it; the chips may be busy."""
    self.done.append("run")
    self.busy -= 1
    return slice_vms.BUSY if self.busy >= 0 else 0

  def recreate(self):
    """Does as the real one."""
    return self.delete() or self.create()

  def __getattr__(self, name):
    return lambda: self.done.append(name)


ABSENT = ("ABSENT", [])
RUNNING = ("READY", [("running", 0)])
INTERRUPTED = ("READY", [("exited", 75)])
DONE = ("READY", [("exited", 0)])
FAILED = ("READY", [("exited", 1)])


def keep(vms, max_restarts=50):
  return keeping.keep(
    vms, TRAIN, max_restarts=max_restarts, sleep=lambda seconds: None
  )


def test_a_run_is_kept_until_it_is_done():
  preempted = ("PREEMPTED", [])
  vms = Slice(ABSENT, RUNNING, INTERRUPTED, RUNNING, preempted, DONE)
  assert keep(vms) == 0
  begun = ["install", "run"]
  again = ["delete", "create", *begun]
  assert vms.done == ["create", *begun, *begun, *again, "follow"]


def test_an_error_that_comes_again_ends_it_and_shows_the_log():
  vms = Slice(ABSENT, FAILED)
  assert keep(vms) == 1
  assert vms.done[-1] == "follow"


def test_what_ended_before_does_not_end_this_command():
  vms = Slice(FAILED, DONE)
  assert keep(vms) == 0
  assert vms.done == ["install", "run", "follow"]
  assert keep(Slice(DONE, FAILED)) == 1


def test_busy_vms_are_made_anew():
  vms = Slice(("READY", [("absent", 0)]), DONE, busy=1)
  assert keep(vms) == 0
  again = ["delete", "create", "install", "run"]
  assert vms.done == ["install", "run", *again, "follow"]


def test_the_network_may_fail_once_it_has_worked():
  lost = command_line.UsageError("no network")
  assert keep(Slice(RUNNING, lost, DONE)) == 0
  with pytest.raises(command_line.UsageError):
    keep(Slice(lost))


def test_restarts_on_vms_have_an_end():
  vms = Slice(ABSENT, INTERRUPTED, INTERRUPTED, INTERRUPTED)
  assert keep(vms, max_restarts=2) == 1
  assert vms.done.count("run") == 3
