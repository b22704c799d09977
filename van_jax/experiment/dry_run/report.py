"""What a dry run prints, and the JSON of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from van_jax.analysis import program
from van_jax.experiment.dry_run import remedies as remedies_lib
from van_jax.experiment.dry_run.examples import Examples
from van_jax.experiment.dry_run.remedies import Remedy, scaled_learning_rate
from van_jax.experiment.dry_run.trial import Answer, Compiled
from van_jax.experiment.sections import Config
from van_jax.parallel import graphics_cards
from van_jax.parallel.topologies import Topology

_JAX_TAKES = 0.75  # Of a GPU's memory: XLA_PYTHON_CLIENT_MEM_FRACTION.


def fits(answer: Answer) -> bool:
  """Returns whether the compiler made programs of all steps."""
  return all(step.fits for step in answer.steps.values())


def verdict(config: Config, topology: Topology, answer: Answer) -> list[str]:
  """Returns the first lines: whether the run fits."""
  size = config.batch_size
  where = f"{config.model.name} with batch_size={size} on {topology.name}"
  if not answer.training.fits:
    return [f"DOES NOT FIT: {where}."]
  if not fits(answer):
    return [
      f"DOES NOT FIT: {where}: the evaluation step, and only that, with "
      f"evaluation.batch_size={config.evaluation.batch_size}."
    ]
  if answer.available_bytes is not None:
    return [f"FITS: {where}, by the compiler."]
  needs = answer.training.figures["memory_bytes"]
  said = f"COMPILES: {where}; {program.size(needs)} a device"
  if topology.platform != "cuda":
    return [f"{said}. This compiler refuses nothing: compare with the memory."]
  memory = graphics_cards.CARDS[topology.kind].memory
  room = "within" if needs <= _JAX_TAKES * memory else "MORE THAN"
  return [
    f"{said}, {room} the {program.size(round(_JAX_TAKES * memory))} that JAX "
    "takes of a card. A comparison: this compiler refuses nothing."
  ]


def plan(
  config: Config, topology: Topology, examples: Examples, answer: Answer
) -> list[str]:
  """Returns the lines about the run that is to be."""
  hosts = max(topology.chips // topology.chips_a_host, 1)
  images = f"{answer.training.images} images at once on each device"
  if config.accumulation_steps > 1:
    images += f", in {config.accumulation_steps} micro-batches a step"
  rate = f"{config.schedule.learning_rate:g}, schedule.learning_rate"
  steps = "not known: neither is the data there, nor its size known"
  if answer.total_steps is not None and examples.num_train is not None:
    epoch = examples.num_train // config.batch_size
    steps = (
      f"{answer.total_steps:,}; {epoch:,} an epoch of {examples.num_train:,} "
      "images"
    )
  rows = {
    "devices": f"{topology.devices} on {topology.chips} chips, hosts: {hosts}, "
    f"slices: {topology.slices}; mesh.fsdp={config.mesh.fsdp}",
    "batch": images,
    "peak rate": rate,
    "steps": steps,
    "state": f"{program.size(answer.state_bytes)} a device, of "
    f"{answer.parameters:,} parameters",
  }
  return [f"  {name:<13}{text}" for name, text in rows.items()]


def figures(answer: Answer) -> list[str]:
  """Returns the lines about the compiled steps."""
  return [line for step in answer.steps.values() for line in ("", *step.lines)]


def remedies(
  config: Config, step: str, found: Sequence[tuple[Remedy, Compiled]]
) -> list[str]:
  """Returns the lines about changes that fit, which are in their order."""
  if not found:
    return [
      f"What would fit of the {step} step: nothing that was tried; take more "
      "chips, model.dtype=bfloat16, a smaller image_size, or a smaller model."
    ]
  by = "the compiler's schedule" if remedies_lib.scheduled(found) else "rule"
  order = f", best first by {by}" if len(found) > 1 else ""
  lines = [f"What would fit of the {step} step{order}:"]
  for tried, compiled in found:
    images = remedies_lib.images(config, step, tried)
    lines += _remedy(tried, compiled, images)
  return lines


def _remedy(tried: Remedy, compiled: Compiled, images: int) -> list[str]:
  """Returns the lines about a change that fits.

  Args:
    tried: the change.
    compiled: what became of the step.
    images: a run of it.
  """
  found = compiled.figures
  numbers = [
    f"{program.size(found['memory_bytes'])} a device",
    f"{compiled.images} images at once",
  ]
  if found["flops"]:
    numbers.append(f"{found['flops'] / 1e9:,.1f} GFLOP a device and step")
  if seconds := found["seconds_by_schedule"]:
    numbers.append(f"{images / seconds:,.0f} images/s by schedule")
  return [
    f"  {tried.flags}",
    f"    {', '.join(numbers)}; {tried.cost}.",
  ]


def largest(
  config: Config, topology: Topology, sizes: Mapping[str, Any]
) -> list[str]:
  """Returns the lines about the largest batch."""
  size, refused = sizes["batch_size"], sizes["refused"]
  after = "all the data" if refused is None else f"{refused} does not fit"
  after += f"; {sizes['compilations']} batches compiled"
  if not size:
    return ["", f"Largest batch: none fits; {after}."]
  rate = scaled_learning_rate(config, size)
  return [
    "",
    f"Largest batch: {size}, {size // topology.devices} images a device "
    f"({after}).",
    f"  --config.batch_size={size} --config.schedule.learning_rate={rate:g} "
    "(in proportion)",
  ]


def as_json(
  config: Config, topology: Topology, answer: Answer
) -> dict[str, Any]:
  """Returns all of it as what `json.dumps` takes."""
  return {
    "fits": fits(answer),
    "topology": topology.name,
    "platform": topology.platform,
    "devices": topology.devices,
    "chips": topology.chips,
    "slices": topology.slices,
    "model": config.model.name,
    "batch_size": config.batch_size,
    "fsdp": config.mesh.fsdp,
    "available_bytes": answer.available_bytes,
    "state_bytes": answer.state_bytes,
    "parameters": answer.parameters,
    "learning_rate": config.schedule.learning_rate,
    "total_steps": answer.total_steps,
    **{
      name: {
        **step.figures,
        "images_a_device": step.images,
        "compile_seconds": round(step.seconds, 1),
        "warnings": list(step.warnings),
      }
      for name, step in answer.steps.items()
    },
  }
