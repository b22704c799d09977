"""Help and errors come before anything slow or shared is touched."""

import subprocess
import sys

import pytest

PROBE = """
import atexit, os, runpy, sys

def report():
  modules = [m for m in ("tensorflow", "clu") if m in sys.modules]
  bridge = sys.modules.get("jax._src.xla_bridge")
  backends = list(bridge._backends) if bridge else []
  print(modules + backends, file=sys.stderr)

atexit.register(report)
sys.argv = sys.argv[1:]
sys.path.insert(0, os.getcwd())
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def probe(root):
  """Returns a function that runs a script, and what it touched."""

  def run(*arguments):
    process = subprocess.run(
      [sys.executable, "-c", PROBE, *arguments],
      capture_output=True,
      text=True,
      cwd=root,
      timeout=100,
    )
    *lines, touched = process.stderr.splitlines()
    return process, lines, touched

  return run


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_help_touches_nothing(probe, script):
  process, _, touched = probe(script, "--help")
  assert "--config" in process.stdout
  assert touched == "[]"


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--config.batch_siz=8"], "did you mean config.batch_size?"),
    (["--config.preprocessing.image_size=16"], "at least 32"),
    (["--config.mixing.mixup_alpha=-1"], "mixup_alpha"),  # A jax function's.
  ],
)
def test_a_config_error_touches_nothing(probe, tmp_path, arguments, message):
  process, lines, touched = probe(
    "train.py",
    "--config=configs/digits.py",
    f"--workdir={tmp_path}",
    *arguments,
  )
  assert process.returncode == 1
  assert len(lines) == 1
  assert lines[0].startswith("error: ")
  assert message in lines[0]
  assert touched == "[]"
