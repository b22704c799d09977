"""Changes of a config that make it fit, and which of them is best."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from van_jax.experiment import section_table
from van_jax.experiment.dry_run.trial import Compiled
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
    another_run: whether the run that fits would be another one.
  """

  kind: str
  changes: Mapping[str, Any]
  cost: str
  another_run: bool = False

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
  """Yields changes, those of a kind one after the other.

  Kinds come as they mostly cost, the least first: that is the rule for where no
  compiler tells.

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


def evaluation_candidates(
  config: Config,
  topology: Topology,
  *,
  required: int | None,
  available: int | None,
  variables: int,
) -> Iterator[Remedy]:
  """Yields smaller batches of evaluation, the largest first.

  Args:
    config: whose evaluation step does not fit.
    topology: whose devices are too small.
    required: bytes of a device that it needs; None where nobody knows.
    available: bytes that there are; None where nobody knows.
    variables: bytes of a device that parameters and statistics take.
  """
  whole, smallest = config.evaluation.batch_size, topology.devices
  keep = _part_that_fits(required, available, variables)
  fits = int(whole * keep) // smallest
  for count in sorted({fits, fits // 2, fits // 4, 1} - {0}, reverse=True):
    if count * smallest < whole:
      yield Remedy(
        "evaluation batch",
        {"evaluation.batch_size": count * smallest},
        "the same scores, from more batches",
      )


def images(config: Config, step: str, remedy: Remedy) -> int:
  """Returns the images of a run of a changed step, over all devices."""
  if step == "evaluation":
    return remedy.changes["evaluation.batch_size"]
  return remedy.changes.get("batch_size", config.batch_size)


def best_first(
  config: Config, step: str, found: Sequence[tuple[Remedy, Compiled]]
) -> list[tuple[Remedy, Compiled]]:
  """Returns what fits, the best first.

  What leaves the run as it is comes before what makes it another one, and of
  each the fewest seconds an image, by the compiler's schedule, first. Where
  there is no schedule of one of them, the order is as it was.

  Args:
    config: that does not fit.
    step: that does not.
    found: changes that do, in the order of `candidates`.
  """

  def rank(pair):
    remedy, compiled = pair
    seconds = compiled.figures["seconds_by_schedule"]
    return remedy.another_run, seconds / images(config, step, remedy)

  return sorted(found, key=rank) if scheduled(found) else list(found)


def scheduled(found: Sequence[tuple[Remedy, Compiled]]) -> bool:
  """Returns whether the compiler tells what each of the changes costs."""
  return all(step.figures["seconds_by_schedule"] for _, step in found)


def unit(config: Config, topology: Topology) -> int:
  """Returns the images that every batch must be a multiple of."""
  micro_batches = config.accumulation_steps
  found = topology.devices * micro_batches
  if config.model.batch_norm_group_size:
    found = math.lcm(found, config.model.batch_norm_group_size * micro_batches)
  if not section_table.has_masks(config) and config.mixing.group_size:
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
      another_run=True,
    )


def _part_that_fits(
  required: int | None, available: int | None, state: int
) -> float:
  """Returns which part of the images at once has room, by proportion."""
  if not required or not available or required <= state:
    return 0.5
  return min(max((_SAFE * available - state) / (required - state), 0.0), 0.9)
