"""`python -m launch.gke`: what it refuses, shows and starts."""

import json
import re
import subprocess
import sys

import pytest
from commands import ROOT, TRAIN, notes, stand_in

from launch import command_line, gke

OWN = ["--name=vans", "--image=registry/vans:1", "--topology=v5e:16x16"]


def run(*arguments):
  return command_line.run(gke.launch, lambda: gke.options(arguments))


def test_it_prints_a_jobset_and_starts_nothing(monkeypatch, tmp_path, capsys):
  stand_in(tmp_path, "kubectl")
  monkeypatch.setenv("PATH", str(tmp_path))
  assert run(*OWN, "--print", "--", *TRAIN) == 0
  assert json.loads(capsys.readouterr().out)["kind"] == "JobSet"
  assert not notes(tmp_path, "kubectl")


@pytest.mark.parametrize(
  ("said", "node"),
  [
    ("v5litepod-256", "16x16"),
    ("V5e-256", "16x16"),
    ("v4-512", "4x8x8"),
    ("2xtrillium-64", "8x8"),
    ("ironwood:2x2x1", "2x2x1"),
    ("h100-80gb:8", "nvidia-h100-80gb"),
    ("2xh100-mega:8", "nvidia-h100-mega-80gb"),
  ],
)
def test_accelerators_have_the_names_that_people_say(said, node, capsys):
  assert run(*OWN, f"--topology={said}", "--print", "--", *TRAIN) == 0
  text = capsys.readouterr().out
  assert re.findall(r'gke-(?:tpu-topology|accelerator)": "(.*)"', text) == [
    node
  ]


def test_it_gives_the_jobset_to_the_cluster(monkeypatch, tmp_path):
  stand_in(tmp_path, "gcloud")
  stand_in(tmp_path, "kubectl", f"/bin/cat >{tmp_path}/stdin")
  monkeypatch.setenv("PATH", str(tmp_path))
  place = ("--cluster=tpus", "--zone=us-west4-a", "--project=p")
  assert run(*OWN, *place, "--", *TRAIN) == 0
  assert notes(tmp_path, "gcloud") == [
    "container clusters get-credentials tpus --location=us-west4-a --project=p"
  ]
  assert notes(tmp_path, "kubectl") == ["create --filename -"]
  assert json.loads((tmp_path / "stdin").read_text())["kind"] == "JobSet"


def test_a_refusal_of_the_cluster_is_its_exit_status(monkeypatch, tmp_path):
  stand_in(tmp_path, "kubectl", "exit 3")
  monkeypatch.setenv("PATH", str(tmp_path))
  assert run(*OWN, "--", *TRAIN) == 3


@pytest.mark.parametrize(
  ("arguments", "told"),
  [
    ([*OWN, "--", TRAIN[0]], "--workdir=gs://"),
    ([*OWN, "--", TRAIN[0], "--workdir=/tmp/x"], "must be on gs://"),
    ([*OWN, "--", "--config=configs/none.py", TRAIN[1]], "configs/none.py"),
    ([*OWN, "--", *TRAIN, "--distributed"], "set by the launcher"),
    ([*OWN, "--", *TRAIN, "--process_id=3"], "set by the launcher"),
    ([*OWN, "--topology=v5e:64x64", "--", *TRAIN], "v5e has 1x1, 2x2"),
    ([*OWN, "--topology=v5p:4x4x6", "--", *TRAIN], "nearest are v5p:4x4x"),
    ([*OWN, "--topology=v4:32x32x32", "--", *TRAIN], "up to 4096 chips"),
    ([*OWN, "--topology=v9:2x2", "--", *TRAIN], "there are v4, v5e"),
    ([*OWN, "--topology=h100:3", "--", *TRAIN], "1, 2, 4 or 8"),
    ([*OWN, "--topology=cpu:8", "--", *TRAIN], "'cpu' is none that is launch"),
    ([*OWN, "--topology=256", "--", *TRAIN], "KIND:SHAPE"),
    ([*OWN, "--topology=0xv5e:2x2", "--", *TRAIN], "0 slices are none"),
    ([*OWN, "--name=Vans", "--", *TRAIN], "--name=Vans"),
    ([*OWN, "--cluster=c", "--", *TRAIN], "--zone"),
    ([*OWN, "--spot", "--reservation=r", "--", *TRAIN], "--reservation"),
    ([*OWN, "--max_restarts=-1", "--", *TRAIN], "--max_restarts"),
  ],
)
def test_bad_input_is_one_line_before_anything_is_created(
  arguments, told, monkeypatch, tmp_path, capsys
):
  stand_in(tmp_path, "kubectl")
  monkeypatch.setenv("PATH", str(tmp_path))
  assert run(*arguments) == 1
  line = capsys.readouterr().err
  assert line.startswith("error: ")
  assert line.count("\n") == 1
  assert told in line
  assert not notes(tmp_path, "kubectl")


def test_without_kubectl_it_says_so(monkeypatch, tmp_path, capsys):
  monkeypatch.setenv("PATH", str(tmp_path))
  assert run(*OWN, "--", *TRAIN) == 1
  assert "kubectl is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["launch.gke", "launch.tpu_vms"])
def test_python_alone_is_enough_to_launch(module):
  process = subprocess.run(
    [sys.executable, "-S", "-m", module, "--help"],
    capture_output=True,
    text=True,
    cwd=ROOT,
    env={"PYTHONPATH": str(ROOT)},
  )
  assert process.returncode == 0, process.stderr
  assert "--print" in process.stdout
  assert "--workdir=gs://" in process.stdout
