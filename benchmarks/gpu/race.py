"""One network's race on a GPU: ours and PyTorch's, in turns."""

import argparse
import contextlib
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.gpu import profile
from benchmarks.gpu.contestants import Contestant, FailedError, paused
from benchmarks.gpu.rows import emit

MODES = ("training", "inference")
_PROFILED = 3  # Runs.


class Race:
  """The turns of one model.

  Attributes:
    ours: contestants of JAX.
    theirs: contestants of PyTorch.
  """

  def __init__(self, options: argparse.Namespace, model: str):
    """Starts all processes, and what needs CPUs alone.

    Args:
      options: of `models`.
      model: its name.
    """
    self._options = options
    self._model = model
    self.ours = self._started("jax", options.jax, "lower")
    self.theirs = self._started("torch", options.torch, "compile")

  def _started(self, framework: str, styles: str, do: str) -> list[Contestant]:
    names = ("dtype", "batch", "size", "small")
    job = {name: getattr(self._options, name) for name in names}
    job |= {"framework": framework, "model": self._model}
    started = []
    for style in filter(None, styles.split(",")):
      contestant = Contestant(job | {"style": style})
      for mode in MODES:
        contestant.send(do, mode=mode)
      started.append(contestant)
    return started

  def prepare(self, others: Sequence[Contestant] = ()) -> None:
    """Compiles ours one by one, and waits for PyTorch's.

    Args:
      others: of later races; they and PyTorch's stand still meanwhile, as
        XLA's autotuning measures.
    """
    limit = self._options.compile_limit
    for contestant in self.ours:
      for mode in MODES:
        with self._guarded(contestant, mode):
          contestant.receive(limit)
    with paused([*self.theirs, *others]):
      self._compile_ours(but_memory=True)
    for contestant in self.theirs:
      for mode in MODES:
        with self._guarded(contestant, mode, but_memory=True):
          contestant.found[mode] = _named(contestant.receive(limit))
    with paused([*self.theirs, *others]):  # What their first runs prevented.
      self._compile_ours(but_memory=False)

  def _compile_ours(self, *, but_memory: bool) -> None:
    for contestant in self.ours:
      for mode in MODES:
        if contestant.takes_part(mode) and mode not in contestant.found:
          with self._guarded(contestant, mode, but_memory=but_memory):
            contestant.found[mode] = _named(
              contestant.ask(self._options.compile_limit, "compile", mode=mode)
            )

  def run(self) -> None:
    """Does all turns, and emits rows; in the end no process is left."""
    together = [False]
    for contestant in self.ours:
      together.append(self._rounds(contestant))
      self._profile(contestant)
      contestant.close()
    if not any(together):
      self._alone(self.theirs)
    for contestant in self.theirs:
      self._profile(contestant)
      contestant.close()

  def _rounds(self, ours: Contestant) -> bool:
    """Has one of ours take turns with PyTorch's, if the memory is enough."""
    together = True
    for mode in MODES:
      self._warm_up(ours, mode, alone=True)
      for contestant in self.theirs:
        together &= self._warm_up(contestant, mode, alone=False)
      turning = [ours, *self.theirs] if together else [ours]
      self._turns(turning, mode)
    return together

  def _alone(self, contestants: Sequence[Contestant]) -> None:
    """Has each of some run with no other beside it."""
    for mode in MODES:
      for contestant in contestants:
        self._warm_up(contestant, mode, alone=True)
        self._turns([contestant], mode)

  def _warm_up(self, contestant: Contestant, mode: str, *, alone: bool) -> bool:
    """Runs once or twice; returns whether the memory was enough."""
    if not contestant.takes_part(mode):
      return True
    try:
      answer = contestant.ask(
        self._options.compile_limit, "warm_up", mode=mode, alone=alone
      )
    except FailedError as error:
      if error.out_of_memory and not alone:
        return False
      self._failed(contestant, mode, error)
      return True
    contestant.found.setdefault(mode, {}).update(answer)
    return True

  def _turns(self, contestants: Sequence[Contestant], mode: str) -> None:
    """Measures round by round, and emits what is known then."""
    for _ in range(self._options.rounds):
      for contestant in contestants:
        if contestant.takes_part(mode):
          with self._guarded(contestant, mode):
            answer = contestant.ask(
              self._options.run_limit,
              "turn",
              mode=mode,
              seconds=self._options.turn_seconds,
            )
            _add_turn(contestant.found[mode], answer)
    for contestant in contestants:
      if "turns" in contestant.found.get(mode, {}):
        emit(**self._key(contestant, mode), **_row(contestant.found[mode]))

  def _profile(self, contestant: Contestant) -> None:
    """Emits a training step's kernels, as `profile` counts them."""
    if not contestant.takes_part("training"):
      return
    folder = pathlib.Path(self._options.traces, self._model).absolute()
    folder = folder / self._options.dtype / contestant.name.replace(" ", "_")
    with self._guarded(contestant, "profile"):
      trace = contestant.ask(
        self._options.run_limit,
        "profile",
        mode="training",
        folder=str(folder),
        count=_PROFILED,
      )["trace"]
      try:
        found = profile.summary(pathlib.Path(trace), runs=_PROFILED)
      except (OSError, ValueError, KeyError) as error:
        raise FailedError(f"{trace}: {error}") from error
      emit(**self._key(contestant, "profile"), trace=trace, **found)

  def _key(self, contestant: Contestant, mode: str) -> dict[str, Any]:
    key = {"model": self._model, "dtype": self._options.dtype, "mode": mode}
    return key | {"name": contestant.name}

  @contextlib.contextmanager
  def _guarded(self, contestant: Contestant, mode: str, *, but_memory=False):
    """Has a contestant that fails take no further part in a mode.

    Args:
      contestant: that is asked.
      mode: what it is asked for.
      but_memory: let it try again where it had not enough memory.
    """
    try:
      yield
    except FailedError as error:
      if not (but_memory and error.out_of_memory):
        self._failed(contestant, mode, error)

  def _failed(self, contestant: Contestant, mode: str, error: Exception):
    if mode not in contestant.out:
      contestant.out.add(mode)
      emit(**self._key(contestant, mode), error=str(error))


def _named(answer: dict[str, Any]) -> dict[str, Any]:
  return {
    "compile_seconds": round(answer["seconds"], 1),
    **{key: value for key, value in answer.items() if key != "seconds"},
  }


def _add_turn(found: dict[str, Any], answer: dict[str, Any]) -> None:
  found.setdefault("turns", []).append(answer["seconds"])
  found["finite"] = found.get("finite", True) and answer["finite"]
  for name in ("peak_bytes", "reserved_bytes", "in_use_bytes"):
    if name in answer:
      found[name] = max(found.get(name, 0), answer[name])


def _row(found: dict[str, Any]) -> dict[str, Any]:
  """Returns what is told: images a second by the median turn."""
  turns = found["turns"]
  rate = found["batch"] / statistics.median(turns)
  return {
    **{key: value for key, value in found.items() if key != "turns"},
    "milliseconds": [round(1e3 * each, 3) for each in turns],
    "images_per_second": round(rate, 1),
  }
