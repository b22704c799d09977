"""Changes of a config that make it fit, the cheapest first."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from van_jax.experiment.sections import Config
from van_jax.parallel.topologies import Topology

_SAFE = 0.95  # Of the memory, in guessing what will do.
_MOST_FSDP = 16  # More than this saves next to nothing further.


class Remedy(NamedTuple):
  """A change to try.

  Attributes:
    kind: of which one that fits is enough.
    changes: of dotted keys.
    cost: what it costs, in words.
  """

  kind: str
  changes: Mapping[str, Any]
  cost: str

  @property
  def flags(self) -> str:
    """The flags that make the change."""
    return " ".join(f"--config.{k}={v}" for k, v in self.changes.items())


def candidates(
  config: Config,
  topology: Topology,
  *,
  required: int | None,
  available: int | None,
  state: int,
) -> Iterator[Remedy]:
  """Yields changes, best first; those of a kind one after the other.

  Args:
    config: that does not fit.
    topology: whose devices are too small.
    required: bytes of a device that it needs; None where nobody knows.
    available: bytes that there are; None where nobody knows.
    state: bytes of a device that parameters and moments take.
  """
  keep = _part_that_fits(required, available, state)
  yield from _accumulation(config, topology, keep)
  yield from _fsdp(config, topology, required, available, state)
  if not config.model.remat:
    yield Remedy("remat", {"model.remat": True}, "each block is computed twice")
  yield from _batch(config, topology, keep)


def unit(config: Config, topology: Topology) -> int:
  """Returns the images that every batch must be a multiple of."""
  micro_batches = config.accumulation_steps
  found = topology.devices * micro_batches
  if config.model.batch_norm_group_size:
    found = math.lcm(found, config.model.batch_norm_group_size * micro_batches)
  if config.mixing.group_size:
    found = math.lcm(found, config.mixing.group_size)
  return found


def scaled_learning_rate(config: Config, batch_size: int) -> float:
  """Returns the learning rate in proportion to another batch size."""
  rate = config.schedule.learning_rate * batch_size / config.batch_size
  return float(f"{rate:.3g}")


def _accumulation(
  config: Config, topology: Topology, keep: float
) -> Iterator[Remedy]:
  group = config.model.batch_norm_group_size or 1
  counts = []
  for count in range(config.accumulation_steps + 1, config.batch_size + 1):
    micro, rest = divmod(config.batch_size, count)
    if not (rest or micro % topology.devices or micro % group):
      counts.append(count)
  enough = [c for c in counts if config.accumulation_steps / c <= keep]
  for count in (enough or counts[-1:])[:2]:
    yield Remedy(
      "accumulation",
      {"accumulation_steps": count},
      "the same batch and learning rate, in smaller pieces",
    )


def _fsdp(
  config: Config,
  topology: Topology,
  required: int | None,
  available: int | None,
  state: int,
) -> Iterator[Remedy]:
  """Yields the sharding of the state, where that would be enough."""
  in_slice = topology.devices // topology.slices
  sizes = [
    n
    for n in range(config.mesh.fsdp + 1, min(in_slice, _MOST_FSDP) + 1)
    if in_slice % n == 0
  ]
  if not sizes:
    return
  if required is not None and available is not None:
    saved = state * (1 - config.mesh.fsdp / sizes[-1])
    if required - saved > available:
      return
  yield Remedy(
    "fsdp",
    {"mesh.fsdp": sizes[-1]},
    "the state is shared out, and parameters gathered where they are used",
  )


def _batch(config: Config, topology: Topology, keep: float) -> Iterator[Remedy]:
  smallest = unit(config, topology)
  fits = int(config.batch_size * keep) // smallest
  tried = {max(fits, 1), max(fits // 2, 1)}
  for count in sorted(tried, reverse=True):
    size = count * smallest
    if size >= config.batch_size:
      continue
    yield Remedy(
      "batch",
      {
        "batch_size": size,
        "schedule.learning_rate": scaled_learning_rate(config, size),
      },
      "another run: more steps, with the learning rate in proportion",
    )


def _part_that_fits(
  required: int | None, available: int | None, state: int
) -> float:
  """Returns which part of the images at once has room, by proportion."""
  if not required or not available or required <= state:
    return 0.5
  return min(max((_SAFE * available - state) / (required - state), 0.0), 0.9)
