"""Runs what needs a GPU, part by part, within one clock: see gpu.sh.

  python -m benchmarks.gpu.run OUT [--parts=NAME,...] [--seconds=400] [--small]

A part that fails, or overruns its own limit, stops none that come after it; one
for which too little time is left is skipped, and all of that is told. JSON and
tables are written anew with every row.
"""

import argparse
import contextlib
import importlib.metadata
import itertools
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any, TextIO

from benchmarks.gpu import rows
from benchmarks.gpu.parts import Part, parts
from benchmarks.gpu.results import Results

_PACKAGES = (
  *("jax", "jaxlib", "jax-cuda13-plugin", "jax-cuda12-plugin", "flax", "optax"),
  *("numba", "numpy", "torch", "triton", "nvidia-cudnn-cu13", "pillow"),
)


def main() -> None:
  """Runs all parts, and prints the tables last."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("out", nargs="?", default="build/gpu", help="folder")
  parser.add_argument("--parts", default="", help="names; all if none")
  parser.add_argument("--seconds", type=float, default=None, help="in all")
  parser.add_argument("--small", action="store_true", help="on a CPU, dry")
  parser.add_argument(
    "--implementations", default="", help="of whole networks: auto,pallas_gpu"
  )
  options = parser.parse_args()
  results = Results(pathlib.Path(options.out), about())
  for name, value in results.about.items():
    print(f"{name}: {value}", flush=True)
  seconds = options.seconds or (3600 if options.small else 400)
  names = options.implementations or _implementations(options.small)
  chosen = [
    part
    for part in parts(small=options.small, implementations=names)
    if not options.parts or part.name in options.parts.split(",")
  ]
  run(chosen, results, seconds, pathlib.Path(options.out))
  keep_a_trace(results, pathlib.Path(options.out))
  print(results.tables())


def _implementations(small: bool) -> str:
  """Returns those of whole networks: ours first, if it is there."""
  if small:  # On a CPU "auto" is loops that take minutes to compile.
    return "xla"
  text = pathlib.Path("van_jax/ops/by_platform.py").read_text()
  ours = ["pallas_gpu"] if '"pallas_gpu"' in text else []
  return ",".join([*ours, "auto"])


def about() -> dict[str, Any]:
  """Returns what the machine has: card, driver, versions, commit."""
  query = "--query-gpu=name,driver_version,memory.total,clocks.max.sm"
  found = {
    "card": _said(["nvidia-smi", query, "--format=csv,noheader"]),
    "processor": f"{os.cpu_count()} cores, {platform.machine()}",
    "Python": platform.python_version(),
    "commit": os.environ.get("VAN_COMMIT")  # Where there is no .git.
    or _said(["git", "describe", "--always", "--dirty"]),
    "float32": "TF32 in products of both; full in the rows of correctness",
  }
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      found[package] = "not there"
  return found


def _said(command: list[str]) -> str:
  try:
    said = subprocess.run(command, capture_output=True, text=True, timeout=20)
  except (OSError, subprocess.TimeoutExpired) as error:
    return f"unknown: {error}"
  return said.stdout.strip() or "unknown"


def run(
  chosen: list[Part], results: Results, seconds: float, folder: pathlib.Path
) -> None:
  """Runs parts one after another.

  Args:
    chosen: in their order.
    results: to which rows go.
    seconds: for all of them.
    folder: for logs of their own.
  """
  end = time.monotonic() + seconds
  waiting: dict[str, Running] = {}
  for i, part in enumerate(chosen):
    left = end - time.monotonic()
    after = chosen[i + 1 : i + 2]
    for next_ in (part, *(p for p in after if p.early)):
      if next_.name not in waiting and left >= part.least:
        waiting[next_.name] = Running(next_, results, folder)
    if part.name not in waiting or left < part.least:
      if part.name in waiting:
        waiting.pop(part.name).stop()
      results.tell(
        part.name, f"skipped: {left:.0f} s left, {part.least:.0f} needed"
      )
      continue
    results.tell(part.name, "running")
    state = waiting.pop(part.name).finish(min(part.limit, left))
    results.tell(part.name, state)
  for running in waiting.values():
    running.stop()


def keep_a_trace(results: Results, folder: pathlib.Path) -> None:
  """Copies the first trace of ours, and its program's text, to the results."""
  for row in itertools.chain.from_iterable(results.rows.values()):
    if row.get("name", "").startswith("jax") and "trace" in row:
      trace = pathlib.Path(row["trace"])
      shutil.copy(trace, folder / "trace.json.gz")
      for parent in trace.parents[:5]:
        if (text := parent / "hlo.txt.gz").exists():
          shutil.copy(text, folder)
      return


class Running:
  """A part's process, in a group of its own with all that it starts."""

  def __init__(self, part: Part, results: Results, folder: pathlib.Path):
    self._part = part
    self._results = results
    self._rows = 0
    self._process: Any = subprocess.Popen(
      [sys.executable, *part.command],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      start_new_session=True,
    )
    self._log: TextIO = sys.stdout
    if part.log:
      self._log = (folder / part.log).open("w")
    self._listener = threading.Thread(target=self._listen, daemon=True)
    self._listener.start()

  def finish(self, seconds: float) -> str:
    """Lets it begin, and returns how it went."""
    start = time.monotonic()
    with contextlib.suppress(OSError):  # Of a dead one the status says so.
      self._process.stdin.write("\n")
      self._process.stdin.flush()
    try:
      status = self._process.wait(seconds)
    except subprocess.TimeoutExpired:
      self.stop()
      return f"stopped after {seconds:.0f} s, {self._rows} rows"
    self.stop()  # What it may have left behind.
    taken = f"{time.monotonic() - start:.0f} s, {self._rows} rows"
    return f"done in {taken}" if not status else f"FAILED ({status}) in {taken}"

  def stop(self) -> None:
    """Ends all of its processes, those that stand still too."""
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._process.pid, signal.SIGKILL)
    self._process.wait()
    self._listener.join(timeout=5)
    for stream in (self._process.stdin, self._process.stdout):
      with contextlib.suppress(OSError):  # What nobody has read.
        stream.close()
    if self._part.log:
      self._log.close()

  def _listen(self):
    for line in self._process.stdout:
      row = rows.parse(line)
      if row is None:
        print(line, end="", file=self._log, flush=True)
      else:
        self._rows += 1
        self._results.add(self._part.name, row)


if __name__ == "__main__":
  main()
