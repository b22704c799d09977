"""A run's steps compiled for hardware that is not here, and what it takes."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from van_jax import data, errors
from van_jax.cli import dotted_keys
from van_jax.experiment import config_check, misfits
from van_jax.experiment.dry_run import (
  asking,
  examples as examples_lib,
  largest,
  remedies,
  report,
)
from van_jax.experiment.dry_run.trial import (
  STEPS,
  Answer,
  Compiled,
  Request,
)
from van_jax.experiment.sections import Config
from van_jax.parallel import absent, topologies

_FLOAT32 = 4  # Bytes of a parameter.


def dry_run(
  config: Config, *, target: str, largest_batch: bool = False
) -> dict[str, Any]:
  """Compiles a run's steps for a target, and prints what that shows.

  Nothing is trained and nothing is written; the data need not be there. Each
  compilation is a process of its own.

  Args:
    config: as `configs/default.py` describes.
    target: accelerators, by the names of `parallel.topologies`.
    largest_batch: also finds the largest batch that fits.

  Returns:
    What is printed, as JSON has it. "fits" is the verdict on the training step
    and the evaluation step; of a CPU or GPUs, whose compilers refuse nothing,
    it says that both compile.

  Raises:
    UserError: bad input, or a compiler that is not installed.
  """
  jax.config.update("jax_platforms", "cpu")  # A TPU here is left alone.
  topology = topologies.parse(target)
  config_check.check_config(config)
  config_check.check_trainable(config)
  absent.check_compiler(topology)
  trials = _Trials(config, topology, examples_lib.find(config))
  trials.check()
  if largest_batch and topology.platform != "tpu":
    raise errors.UserError(
      "--largest_batch needs a compiler that refuses what does not fit, as "
      f"that of TPUs; that for {topology.kind} refuses nothing."
    )
  answer = trials.compile({}, steps=STEPS)
  print(*report.verdict(config, topology, answer), "", sep="\n", flush=True)
  print(*report.plan(config, topology, trials.examples, answer), sep="\n")
  print(*report.figures(answer), sep="\n", flush=True)
  found: dict[str, Any] = {"remedies": trials.what_would_fit(answer)}
  if largest_batch:
    found["largest_batch"] = trials.largest_batch(answer)
  return report.as_json(config, topology, answer) | found


@dataclasses.dataclass(frozen=True)
class _Trials:
  """Compiles variants of one config for one topology.

  Attributes:
    config: of the run.
    topology: to compile for.
    examples: of the data.
  """

  config: Config
  topology: topologies.Topology
  examples: examples_lib.Examples

  def check(self) -> None:
    """Raises UserError where batches do not suit devices, groups and data."""
    number = self.examples.num_train
    if number is not None and self.config.batch_size > number:
      raise errors.UserError(
        f"batch_size={self.config.batch_size} must be at most the {number} "
        f"examples of data.train_split={self.config.data.train_split!r}."
      )
    nothing = data.Source(
      name=self.config.data.name, class_names=(), train=None, evaluation=None
    )
    misfits.check_batch_sizes(
      self.config, nothing, devices=self.topology.devices
    )

  def compile(
    self, changes: Mapping[str, Any], *, steps: Sequence[str]
  ) -> Answer:
    """Returns what compiling steps with dotted keys changed gives."""
    config = copy.deepcopy(self.config.to_dict())
    for key, value in changes.items():
      dotted_keys.put(config, key, value)
    request = Request(
      config=config,
      topology=self.topology.name,
      examples=self.examples,
      steps=steps,
    )
    with_what = "".join(f", {key}={value}" for key, value in changes.items())
    title = (
      f"Compiling {config['model']['name']} for {self.topology.name}{with_what}"
    )
    seconds = self.config.deadlines.compile_seconds
    return asking.ask(request, seconds=seconds, title=title)

  def what_would_fit(self, refused: Answer) -> list[dict[str, Any]]:
    """Prints the changes that make what does not fit fit, and returns them."""
    told = []
    for step, compiled in refused.steps.items():
      if compiled.fits:
        continue
      tried = self._tried(step, self._candidates(step, refused))
      found = remedies.best_first(self.config, step, tried)
      lines = report.remedies(self.config, step, found)
      print("", *lines, sep="\n", flush=True)
      told += [
        {
          "flags": remedy.flags,
          "changes": dict(remedy.changes),
          step: fitting.figures,
        }
        for remedy, fitting in found
      ]
    return told

  def _candidates(
    self, step: str, refused: Answer
  ) -> Iterator[remedies.Remedy]:
    required = refused.steps[step].figures["required_bytes"] or None
    available = refused.available_bytes
    if step == "evaluation":
      return remedies.evaluation_candidates(
        self.config,
        self.topology,
        required=required,
        available=available,
        variables=_FLOAT32 * refused.parameters,
      )
    return remedies.candidates(
      self.config,
      self.topology,
      required=required,
      available=available,
      state=refused.state_bytes,
    )

  def _tried(
    self, step: str, candidates: Iterator[remedies.Remedy]
  ) -> list[tuple[remedies.Remedy, Compiled]]:
    """Returns the first of each kind that fits, by compiling them."""
    found: dict[str, tuple[remedies.Remedy, Compiled]] = {}
    for remedy in candidates:
      if remedy.kind not in found:
        compiled = self.compile(remedy.changes, steps=[step]).steps[step]
        if compiled.fits:
          found[remedy.kind] = remedy, compiled
    return list(found.values())

  def largest_batch(self, first: Answer) -> dict[str, Any]:
    """Prints and returns the largest batch that the compiler takes."""
    unit = remedies.unit(self.config, self.topology)
    known = self.config.batch_size // unit
    if self.examples.num_train is None:
      most = known << 16
    else:
      most = max(self.examples.num_train // unit, 1)

    def need(units: int) -> largest.Need:
      training = first.training
      if units != known:
        changes = {"batch_size": units * unit}
        training = self.compile(changes, steps=["training"]).training
      return largest.Need(training.fits, _needed(training))

    found = largest.search(
      need, first=known, most=most, available=first.available_bytes
    )
    sizes = {
      "batch_size": found.largest * unit,
      "refused": None if found.refused is None else found.refused * unit,
      "compilations": found.compiles,
    }
    print(*report.largest(self.config, self.topology, sizes), sep="\n")
    return sizes


def _needed(compiled: Compiled) -> int | None:
  name = "memory_bytes" if compiled.fits else "required_bytes"
  return compiled.figures[name] or None
