"""Starts the process that compiles, says how long it has taken, ends it."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

from van_jax import errors
from van_jax.experiment.dry_run.trial import Answer, Request, answer_from
from van_jax.parallel import absent, topologies

_MODULE = "van_jax.experiment.dry_run.compiler"
_QUIET_SECONDS = 30  # Between lines of progress, where no terminal reads them.


def ask(request: Request, *, seconds: float, title: str) -> Answer:
  """Returns what a process of its own says of a config.

  Args:
    request: what to compile.
    seconds: that it may take.
    title: what is compiled, for the line on stderr.

  Raises:
    UserError: for what the config asks and the devices or their compiler have
      not; where it took too long, or this machine has too little memory.
  """
  with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
    with _started(request, out, err) as process:
      _wait(process, seconds, title)
    if process.returncode != 0:
      raise _failure(process.returncode, title, _text(err))
    said = json.loads(_text(out))
  if "error" in said:
    raise errors.UserError(said["error"])
  return answer_from(said["answer"])


@contextlib.contextmanager
def _started(
  request: Request, out: IO[bytes], err: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
  """Yields the process, which has the request; it does not outlive this."""
  variables = absent.environment(topologies.parse(request.topology))
  process = subprocess.Popen(
    [sys.executable, "-m", _MODULE],
    stdin=subprocess.PIPE,
    stdout=out,
    stderr=err,
    env=os.environ
    | variables
    | {
      "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
      # What is compiled for devices that are not here cannot be loaded again.
      "JAX_ENABLE_COMPILATION_CACHE": "false",
    },
  )
  stdin: Any = process.stdin
  try:
    with contextlib.suppress(BrokenPipeError):  # Its own words say more.
      stdin.write(pickle.dumps(request))
      stdin.flush()
    yield process
  finally:
    process.kill()
    process.wait()
    with contextlib.suppress(BrokenPipeError):
      stdin.close()


def _wait(process: subprocess.Popen[Any], seconds: float, title: str) -> None:
  """Returns when the process has ended, and tells how long it takes."""
  begin, told = time.monotonic(), 0.0
  terminal = sys.stderr.isatty()
  while True:
    passed = time.monotonic() - begin
    if terminal:
      print(
        f"\r{title} ... {passed:.0f} s", end="", file=sys.stderr, flush=True
      )
    elif not told or passed - told >= _QUIET_SECONDS:
      told = passed or 1e-9
      print(f"{title} ... {passed:.0f} s", file=sys.stderr, flush=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
      process.wait(timeout=1)
      break
    if passed > seconds:
      raise errors.UserError(
        f"{title} took more than {seconds:.0f} s and was stopped; raise "
        "config.deadlines.compile_seconds, or take a faster machine."
      )
  if terminal:
    print(file=sys.stderr, flush=True)


def _failure(status: int, title: str, said: str) -> Exception:
  """Returns what to raise where the process ended without an answer."""
  if status == -signal.SIGKILL:
    return errors.UserError(
      f"{title}: the compiler was killed, as the system does when memory runs "
      "out; compiling takes some 5 GB for a VAN-B0 and 7 GB for a B2, so close "
      "other programs or take a larger machine."
    )
  return RuntimeError(f"{title}: its process ended with {status}:\n{said}")


def _text(file: IO[bytes]) -> str:
  file.seek(0)
  return file.read().decode(errors="replace")
