"""The tests of operations and models, on a machine that the GPU belongs to.

  python -m benchmarks.gpu.tests

They run on its CPUs: what they try there is a newer Python and newer libraries.
Emits one row: pytest's own last line.
"""

import argparse
import importlib.util
import subprocess
import sys

from benchmarks.gpu.rows import emit


def main() -> None:
  """Runs them, in several processes if pytest-xdist is there."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--small", action="store_true", help="a few of them")
  options = parser.parse_args()
  if importlib.util.find_spec("pytest") is None:
    emit(summary="not run: there is no pytest")
    return
  tests = ["tests/ops", "tests/models"]
  if options.small:
    tests = ["tests/ops/test_pointwise.py"]
  command = [sys.executable, "-m", "pytest", "-q", *tests]
  command += ["--continue-on-collection-errors", "-p", "no:cacheprovider"]
  # A minute of one core, where the plugin is: other parts compile the same.
  command += ["--ignore=tests/ops/gpu/test_gpu_depthwise_compile.py"]
  if importlib.util.find_spec("xdist") and not options.small:
    command += ["-n", "8", "--dist", "worksteal"]
  process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
  last = ""
  for line in process.stdout or ():
    print(line, end="", flush=True)
    last = line.strip() or last
  emit(summary=last, status=process.wait())


if __name__ == "__main__":
  main()
