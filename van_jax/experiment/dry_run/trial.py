"""What a dry run's process is asked to compile, and what it answers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from van_jax.experiment.dry_run.examples import Examples

STEPS = ("training", "evaluation")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
  """Asks for one compilation of a config.

  Attributes:
    config: nested dicts.
    topology: by its name.
    examples: of the data.
    steps: of STEPS, those that are compiled.
  """

  config: Mapping[str, Any]
  topology: str
  examples: Examples
  steps: Sequence[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
  """What became of one step.

  Attributes:
    images: that one device has at once: of a micro-batch.
    seconds: that compiling took, without tracing.
    figures: of `analysis.program.as_json`: "fits", and of a program that does
      its bytes, or of one that does not "required_bytes".
    lines: the same in words, the verdict first.
    warnings: what the program shows that is worth changing.
  """

  images: int
  seconds: float
  figures: Mapping[str, Any]
  lines: Sequence[str]
  warnings: Sequence[str] = ()

  @property
  def fits(self) -> bool:
    """Whether the compiler made a program of it."""
    return self.figures["fits"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
  """What a process answers to a Request.

  Attributes:
    available_bytes: that the compiler lets programs take on one device; None
      where it refuses none.
    state_bytes: of one device, that the training state takes.
    parameters: numbers that are trained or frozen.
    steps: what became of each that was asked for.
    total_steps: updates of the run; None where the data's size is not known.
  """

  available_bytes: int | None
  state_bytes: int
  parameters: int
  steps: Mapping[str, Compiled]
  total_steps: int | None

  @property
  def training(self) -> Compiled:
    """The training step, where it was asked for."""
    return self.steps["training"]


def answer_from(fields: Mapping[str, Any]) -> Answer:
  """Returns the Answer that `dataclasses.asdict` made fields of."""
  steps = {name: Compiled(**step) for name, step in fields["steps"].items()}
  return Answer(**{**fields, "steps": steps})
