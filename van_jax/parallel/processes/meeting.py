"""Where processes wait for one another: for a bounded time, and by name."""

import collections
import json
import time
from collections.abc import Callable
from typing import Any

import jax

from van_jax import errors, retrying
from van_jax.parallel.processes import listing, runtime

_AT = "at"  # Where each process was seen last, by index.
_TELLING_SECONDS = 1.0
_uses: collections.Counter[str] = collections.Counter()
_patience = [600.0]  # Seconds, unless somebody says otherwise.


def be_patient(seconds: float) -> None:
  """Sets how long processes wait where nothing else is said."""
  _patience[:] = [seconds]


def barrier(name: str, *, seconds: float | None = None) -> None:
  """Waits until all processes are at this barrier.

  All call it in the same order. One process returns at once.

  Args:
    name: says what they wait for; may be used again and again.
    seconds: from when the first one came; None for what `join` was told.

  Raises:
    PeerError: naming who has not come, and where it was seen last.
  """
  if not runtime.several():
    return
  seconds = _patience[0] if seconds is None else seconds
  _uses[name] += 1
  here = f"{name} #{_uses[name]}"
  runtime.post(f"{_AT}/{runtime.index()}", here)
  try:
    runtime.wait(here, seconds)
  except jax.errors.JaxRuntimeError as error:
    if "DEADLINE_EXCEEDED" not in str(error):
      raise runtime.unreachable(error) from error
    line = _missing(name, here, seconds)
    if runtime.is_first():  # The store ends with it: others read there too.
      time.sleep(_TELLING_SECONDS)
    raise errors.PeerError(line) from error


def broadcast(
  name: str, value: str = "", *, seconds: float | None = None
) -> str:
  """Returns the first process's value, in all of them.

  Args:
    name: of what is told; all call it in the same order.
    value: the first process's counts.
    seconds: as of `barrier`.

  Raises:
    PeerError: naming who has not come.
  """
  if not runtime.several():
    return value
  key = f"said/{name}"
  use = _uses[name] + 1
  if runtime.is_first():
    runtime.post(f"{key}/{use}", value)
  barrier(name, seconds=seconds)
  # Whoever is here has read the one before.
  if runtime.is_first():
    runtime.forget(f"{key}/{use - 1}")
  said = runtime.read(f"{key}/{use}")
  assert said is not None, f"{name} was posted before the barrier"
  return said


def gather(name: str, value: str, *, seconds: float | None = None) -> list[str]:
  """Returns the values of all processes, by index.

  Args:
    name: of what is told; all call it in the same order.
    value: this process's.
    seconds: as of `barrier`.

  Raises:
    PeerError: naming who has not come.
  """
  if not runtime.several():
    return [value]
  key, mine = f"gathered/{name}", runtime.index()
  use = _uses[name] + 1
  runtime.post(f"{key}/{use}/{mine}", value)
  barrier(name, seconds=seconds)
  runtime.forget(f"{key}/{use - 1}/{mine}")
  found = runtime.read_all(f"{key}/{use}")
  return [found[str(i)] for i in range(runtime.count())]


def first_does(
  name: str, function: Callable[[], Any], *, seconds: float | None = None
) -> None:
  """Has the first process do something, and the others know how it went.

  Args:
    name: of what it does.
    function: called in the first process alone.
    seconds: that the others wait for it, as of `barrier`.

  Raises:
    UserError: in the others, when the first one failed; StillFailingError
      where the same command may go on, so that all end alike.
    PeerError: naming who has not come.
    Exception: in the first process, what the function raised.
  """
  failure, told = None, ""
  if runtime.is_first():
    try:
      function()
    except Exception as error:  # The others would wait for nothing.
      said = str(error) or type(error).__name__
      failure, told = error, json.dumps([said, retrying.may_go_on(error)])
  try:
    told = broadcast(name, told, seconds=seconds)
  finally:
    if failure is not None:
      raise failure
  if told:
    said, again = json.loads(told)
    kind = retrying.StillFailingError if again else errors.UserError
    raise kind(f"process 0 failed at {name}: {said}")


def _missing(name: str, here: str, seconds: float) -> str:
  """Returns a line that says who is not at a barrier, and where it is."""
  try:
    seen = runtime.read_all(_AT)
  except errors.PeerError as error:
    return str(error)
  elsewhere = collections.defaultdict(list)
  for i in range(runtime.count()):
    if seen.get(str(i)) != here:
      elsewhere[seen.get(str(i), "")].append(i)
  where = [
    f"{listing.listed(indices)} (last seen at {place.partition(' #')[0]!r})"
    if place
    else f"{listing.listed(indices)} (not seen at any meeting yet)"
    for place, indices in elsewhere.items()
  ]
  return (
    f"process {runtime.index()} waited {seconds:.0f} s at {name!r} for "
    f"{'; '.join(where) or 'nobody that is known'}: see the log there; the "
    "same command, started again on all hosts, goes on."
  )
