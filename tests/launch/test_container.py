"""launch/Dockerfile: by its linter, and by what it takes of the checkout."""

import fnmatch
import re
import subprocess
import tomllib

import pytest
from commands import ROOT, tool

DOCKERFILE = ROOT / "launch" / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def copied():
  """Returns the files and folders that are copied into the image."""
  words = re.findall(r"^COPY (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
  return {word for line in words for word in line.split()[:-1]}


def test_hadolint_has_nothing_to_say():
  process = subprocess.run(
    [tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True
  )
  assert process.returncode == 0, process.stdout


def test_all_that_an_installation_reads_is_copied():
  wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
  project = PROJECT["project"]
  needed = {*wheel["packages"], *wheel["force-include"], project["readme"]}
  needed |= {*project["license-files"], "pyproject.toml", "constraints.txt"}
  assert needed <= copied()


def test_all_that_is_copied_is_there_and_not_left_out():
  lines = (ROOT / "launch" / "Dockerfile.dockerignore").read_text().split("\n")
  kept = [line[1:] for line in lines if line.startswith("!")]
  for name in copied():
    assert (ROOT / name).exists()
    assert any(fnmatch.fnmatch(name, pattern) for pattern in kept), name


@pytest.mark.parametrize("accelerator", ["tpu", "cuda"])
def test_an_accelerator_is_an_extra_of_the_package(accelerator):
  assert accelerator in PROJECT["project"]["optional-dependencies"]
  assert re.search(rf"\b{accelerator}\b.*\) extra=", DOCKERFILE.read_text())
