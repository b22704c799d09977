"""Programs that stand for gcloud, kubectl, srun and others, in tests."""

import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).parent.parent.parent
_PATH = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
TRAIN = ["--config=configs/imagenet1k.py:van_b2", "--workdir=gs://bucket/b2"]


def stand_in(folder: pathlib.Path, name: str, body: str = "") -> None:
  """Writes a program that notes its words and its input, then runs `body`.

  Args:
    folder: of programs, for a PATH; the notes are in NAME.log there.
    name: of the program.
    body: in bash.
  """
  path = folder / name
  path.write_text(f'#!/bin/bash\necho "$*" >>{folder}/{name}.log\n{body}\n')
  path.chmod(0o755)


def notes(folder: pathlib.Path, name: str) -> list[str]:
  """Returns the words of each call of a program, or nothing."""
  path = folder / f"{name}.log"
  return path.read_text().splitlines() if path.exists() else []


def tool(name: str) -> str:
  """Returns a program of the test extra, which lies beside Python."""
  found = shutil.which(name, path=_PATH)
  assert found, f'{name} is not here: pip install -e ".[test]"'
  return found
