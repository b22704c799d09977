"""A contestant in a process of its own: does what lines of JSON ask for.

  python -m benchmarks.gpu.worker '{"framework": "jax", "style": "auto", ...}'

Each line that comes in is one request, `do` and what goes with it; each line
that goes out is its answer, with "error" where it failed. What libraries print
goes to standard error.
"""

import importlib
import json
import os
import pathlib
import sys
import time
import traceback
from typing import Any

_LEAST_RUNS = 2


def main() -> None:
  """Answers until there are no more requests."""
  answers = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)
  job = json.loads(sys.argv[1])
  contestant: Any = None
  for line in sys.stdin:
    request = json.loads(line)
    try:
      if contestant is None:
        name = f"benchmarks.gpu.network_{job['framework']}"
        module = importlib.import_module(name)
        contestant = module.Contestant(job)
      answer = getattr(Requests(contestant, module), request.pop("do"))(
        **request
      )
    except Exception as error:
      traceback.print_exc()
      text = str(error).strip().splitlines() or [""]
      answer = {
        "error": f"{type(error).__name__}: {text[0][:300]}",
        "out_of_memory": contestant is not None
        and module.is_out_of_memory(error),
      }
    print(json.dumps(answer), file=answers, flush=True)


class Requests:
  """What may be asked for; each gives an answer."""

  def __init__(self, contestant: Any, module: Any):
    self._contestant = contestant
    self._module = module

  def lower(self, mode: str) -> dict[str, Any]:
    """Traces a program."""
    self._contestant.lower(mode)
    return {}

  def compile(self, mode: str) -> dict[str, Any]:
    """Compiles a program."""
    answer = self._contestant.compile(mode)
    self._contestant.rest()
    return answer

  def warm_up(self, mode: str, alone: bool) -> dict[str, Any]:
    """Runs once or twice, with half of the batch where that is too large.

    Args:
      mode: training or inference.
      alone: whether no other process holds the device's memory. Where one
        does, a lack of memory is an error.
    """
    while True:
      try:
        self._contestant.run(mode, 2)
      except Exception as error:
        smaller = self._contestant.batch // 2
        if not alone or not smaller or not self._module.is_out_of_memory(error):
          raise
      else:
        self._contestant.rest()
        return {"batch": self._contestant.batch}
      self._contestant.rest()
      self._contestant.set_batch(smaller)

  def turn(self, mode: str, seconds: float) -> dict[str, Any]:
    """Returns the seconds of a run, of as many as fit."""
    start = time.perf_counter()
    self._contestant.run(mode, 1)
    once = time.perf_counter() - start
    count = max(_LEAST_RUNS, round(seconds / max(once, 1e-6)))
    start = time.perf_counter()
    self._contestant.run(mode, count)
    taken = (time.perf_counter() - start) / count
    answer = {"seconds": taken, "runs": count, **self._contestant.memory()}
    answer["finite"] = self._contestant.finite()
    self._contestant.rest()
    return answer

  def profile(self, mode: str, folder: str, count: int) -> dict[str, Any]:
    """Traces some runs."""
    path = self._contestant.profile(mode, pathlib.Path(folder), count)
    self._contestant.rest()
    return {"trace": path}


if __name__ == "__main__":
  main()
