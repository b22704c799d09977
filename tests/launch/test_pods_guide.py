"""docs/pods.md: its commands are ones that the launchers take."""

import re
import shlex
import string
import subprocess

import pytest
from commands import ROOT, tool

from launch import command_line, gke, tpu_vms

VARIABLES = {
  "PROJECT": "p",
  "REGION": "us-west4",
  "ZONE": "us-west4-a",
  "BUCKET": "b",
  "IMAGE": "registry/vans:1",
}
LAUNCHERS = {"launch.gke": gke, "launch.tpu_vms": tpu_vms}


def blocks():
  """Returns the guide's shell commands, a string for each block."""
  text = (ROOT / "docs" / "pods.md").read_text()
  return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def commands(beginning):
  """Returns the words of the guide's commands that begin so."""
  lines = "\n".join(blocks()).replace("\\\n", " ").splitlines()
  return [
    shlex.split(string.Template(line).safe_substitute(VARIABLES), comments=True)
    for line in lines
    if line.startswith(beginning)
  ]


@pytest.mark.parametrize("words", commands("python -m launch."))
def test_the_guides_launches_are_taken(words, capsys):
  module, own = LAUNCHERS[words[2]], words[3:]
  at = own.index("--") if "--" in own else len(own)
  arguments = [*own[:at], "--print", *own[at:]]
  status = command_line.run(module.launch, lambda: module.options(arguments))
  assert status == 0, capsys.readouterr().err


@pytest.mark.parametrize("words", commands("launch/slurm.sh"))
def test_the_guides_slurm_job_is_taken(words):
  at = words.index("--")
  arguments = [*words[:at], "--python=python3", "--print", *words[at:]]
  process = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
  assert process.returncode == 0, process.stderr


def test_the_guides_commands_are_a_sound_script():
  script = "#!/bin/bash\n" + "\n".join(blocks())
  process = subprocess.run(
    # Values with no spaces in them, for one to fill in.
    [tool("shellcheck"), "--exclude=SC2086,SC2046", "-"],
    input=script,
    capture_output=True,
    text=True,
  )
  assert process.returncode == 0, process.stdout


def test_all_three_ways_are_in_the_guide():
  assert len(commands("python -m launch.gke")) == 1
  assert len(commands("python -m launch.tpu_vms")) == 3
  assert len(commands("launch/slurm.sh")) == 1
