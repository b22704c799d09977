"""`make` with other Pythons on the machine than it can use."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent
NAMES = ("python3.13", "python3.12", "python3.11", "python3")
# Stand for a Python that makes a venv, and for one that cannot.
WORKS = '#!/bin/sh\n[ "$1" = -c ] || { echo "$0 $*"; mkdir -p "$3"; }\n'
FAILS = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def make(tmp_path):
  """Returns a function that makes a venv where only some Pythons work."""
  folder = tmp_path / "bin"
  folder.mkdir()

  def make(*working, settings=()):
    for name in (*NAMES, "python3.14"):
      (folder / name).write_text(WORKS if name in working else FAILS)
      (folder / name).chmod(0o755)
    venv = tmp_path / "venv"
    process = subprocess.run(
      ["make", f"VENV={venv}", *settings, f"{venv}/bin/python"],
      capture_output=True,
      text=True,
      cwd=ROOT,
      env={"PATH": f"{folder}:{os.environ['PATH']}"},
    )
    return process, venv

  return make


@pytest.mark.parametrize(
  ("working", "taken"),
  [
    (("python3.11", "python3.12"), "python3.12"),
    (("python3.13", "python3.11", "python3"), "python3.13"),
    (("python3",), "python3"),
  ],
)
def test_the_newest_python_that_works_is_taken(make, tmp_path, working, taken):
  process, venv = make(*working)
  assert process.returncode == 0, process.stderr
  assert f"{tmp_path}/bin/{taken} -m venv {venv}" in process.stdout


def test_a_python_that_is_named_is_taken(make, tmp_path):
  process, _ = make("python3.12", "python3.11", settings=["PYTHON=python3.11"])
  assert f"{tmp_path}/bin/python3.11 -m venv" in process.stdout


@pytest.mark.parametrize(
  ("settings", "name"),
  [((), "python3"), (("PYTHON=python3.14",), "python3.14")],
)
def test_without_one_nothing_is_installed(make, settings, name):
  working = ["python3.12"] if settings else []
  process, venv = make(*working, settings=settings)
  assert process.returncode != 0
  line = process.stderr.splitlines()[0]
  assert line.startswith(f"error: {name} is not Python 3.11, 3.12 or 3.13")
  assert "make PYTHON=" in line
  assert not venv.exists()
