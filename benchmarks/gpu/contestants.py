"""Contestants as the GPU benchmark sees them: processes that answer."""

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class FailedError(Exception):
  """A contestant answered with an error, too late, or not at all.

  Attributes:
    out_of_memory: whether the device's memory was too small.
  """

  def __init__(self, message: str, *, out_of_memory: bool = False):
    super().__init__(message)
    self.out_of_memory = out_of_memory


class Contestant:
  """A process of `worker`.

  Attributes:
    name: that tables have.
    found: what is known of it, by mode.
    out: the modes in which it takes no further part.
  """

  def __init__(self, job: Mapping[str, Any]):
    self.name = f"{job['framework']} {job['style']}"
    self.found: dict[str, dict[str, Any]] = {}
    self.out: set[str] = set()
    self._alive = True
    self._answers: queue.Queue[str] = queue.Queue()
    self._process: Any = subprocess.Popen(
      [sys.executable, "-m", "benchmarks.gpu.worker", json.dumps(dict(job))],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    threading.Thread(target=self._listen, daemon=True).start()

  def takes_part(self, mode: str) -> bool:
    """Returns whether there is something to ask it."""
    return self._alive and mode not in self.out

  def send(self, do: str, /, **arguments: Any) -> None:
    """Asks for something, without waiting."""
    with contextlib.suppress(OSError):  # A dead one answers with "" below.
      self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
      self._process.stdin.flush()

  def receive(self, seconds: float) -> dict[str, Any]:
    """Returns the next answer.

    Args:
      seconds: that it may take.

    Raises:
      FailedError: on an error; a process that is dead or late is ended.
    """
    if not self._alive:
      raise FailedError("is gone")
    try:
      line = self._answers.get(timeout=seconds)
    except queue.Empty:
      self.close()
      raise FailedError(f"gave no answer in {seconds:.0f} s") from None
    if not line:
      self.close()
      raise FailedError(f"ended with status {self._process.returncode}")
    answer = json.loads(line)
    if "error" in answer:
      raise FailedError(answer["error"], out_of_memory=answer["out_of_memory"])
    return answer

  def ask(self, limit: float, do: str, /, **arguments: Any) -> dict[str, Any]:
    """Asks, and returns the answer; raises as `receive`.

    Args:
      limit: seconds that it may take.
      do: what.
      **arguments: of it.
    """
    self.send(do, **arguments)
    return self.receive(limit)

  def signal(self, number: int) -> None:
    """Sends the process a signal, if it is there."""
    if self._alive:
      self._process.send_signal(number)

  def close(self) -> None:
    """Ends the process, and so gives its memory back."""
    self._alive = False
    if self._process.poll() is None:
      self._process.kill()
    self._process.wait()

  def _listen(self):
    for line in self._process.stdout:
      self._answers.put(line)
    self._answers.put("")


@contextlib.contextmanager
def paused(contestants: Sequence[Contestant]) -> Iterator[None]:
  """Has others stand still, so that they disturb no measurement."""
  for contestant in contestants:
    contestant.signal(signal.SIGSTOP)
  try:
    yield
  finally:
    for contestant in contestants:
      contestant.signal(signal.SIGCONT)
