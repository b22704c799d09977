"""A script that is told to end while it still imports: a line, and a status."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# A shell's background job begins with Ctrl-C ignored.
START = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_path(sys.argv[1], run_name="__main__")
"""
# In the place of the first package that a script imports.
STAND_IN = """
import os, time
os.kill(os.getpid(), {number})
time.sleep(60)
"""


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
@pytest.mark.parametrize(
  ("number", "status", "line"),
  [
    (signal.SIGTERM, 75, "stopped by SIGTERM; the same command goes on.\n"),
    (signal.SIGINT, 130, "stopped by Ctrl-C.\n"),
  ],
)
def test_a_signal_before_the_first_import_is_a_line_and_a_status(
  tmp_path, script, number, status, line
):
  (tmp_path / "absl.py").write_text(STAND_IN.format(number=int(number)))
  process = subprocess.run(
    [sys.executable, "-c", START, str(ROOT / script)],
    env=os.environ | {"PYTHONPATH": str(tmp_path)},
    capture_output=True,
    text=True,
    timeout=50,
  )
  assert (process.returncode, process.stderr) == (status, line)


def test_what_listens_imports_the_standard_library_alone():
  program = (
    "import runpy, sys; before = {*sys.modules};"
    "runpy.run_path('van_jax/cli/first_second.py');"
    "new = {name.split('.')[0] for name in {*sys.modules} - before};"
    "print(new - sys.stdlib_module_names)"
  )
  found = subprocess.check_output(
    [sys.executable, "-c", program], cwd=ROOT, text=True
  )
  assert found == "set()\n"
