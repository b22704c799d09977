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
      timeout=300,
    )
    *lines, touched = process.stderr.splitlines()
    return process, lines, touched

  return run


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_help_touches_nothing_and_points_to_the_keys(probe, script):
  process, _, touched = probe(script, "--help")
  assert "`python -m van_jax keys`" in " ".join(process.stdout.split())
  assert touched == "[]"


def test_help_of_the_conversion_lists_the_values(probe):
  process, _, touched = probe("convert_torch_weights.py", "--help")
  for values in (
    "<bicubic|bilinear|lanczos>",
    "<short_side|warp>",
    "<official|mmpretrain|huggingface|mmsegmentation>",
  ):
    assert values in process.stdout
  assert touched == "[]"


def test_help_of_a_module_comes_without_warnings(root):
  process = subprocess.run(
    [sys.executable, "-m", "van_jax.data.prepare", "--help"],
    capture_output=True,
    text=True,
    cwd=root,
  )
  assert "digits, or any TFDS name" in process.stdout
  assert process.stderr == ""


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--config.batch_siz=8"], "did you mean config.batch_size?"),
    (["--config.learning_rate=1"], "mean config.schedule.learning_rate?"),
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
