"""The process that compiles for absent devices: one Request, one Answer.

It reads a pickled Request from stdin and ends when that is closed: when the one
who asked has gone. Compilers take gigabytes, and some abort.
"""

import dataclasses
import json
import math
import os
import pickle
import sys
import threading
from typing import Any, NoReturn

import jax
import ml_collections
import numpy as np

from van_jax import errors, ops, parallel, tasks
from van_jax.analysis.program import dumps
from van_jax.experiment import parts, recipe_task, section_table, start
from van_jax.experiment.dry_run.examples import Examples, Parts
from van_jax.experiment.dry_run.steps import SCHEDULES, Steps, available
from van_jax.experiment.dry_run.trial import Answer, Compiled, Request
from van_jax.parallel import absent, topologies
from van_jax.training.state import TrainState

_ASSUMED_STEPS = 1000  # An epoch of data that nobody knows the size of.


def answer(request: Request) -> Answer:
  """Compiles the true steps of a run.

  Raises:
    UserError: for what the config asks and this mesh or compiler has not.
  """
  config: Any = ml_collections.ConfigDict(request.config)
  topology = topologies.parse(request.topology)
  ops.compile_for(topology.platform)
  mesh = parts.create_mesh(config, absent.devices(topology))
  examples = request.examples
  num_train = examples.num_train or _ASSUMED_STEPS * config.batch_size
  recipe = parts.recipe_of(config, num_train)
  task = recipe_task.create_task(config)
  state = start.abstract_state(config, recipe, mesh)
  steps = Steps(topology, mesh, available(mesh, topology.platform))
  of = {"training": _training, "evaluation": _evaluation}
  return Answer(
    available_bytes=steps.available,
    state_bytes=sum(map(_bytes_a_device, jax.tree.leaves(state))),
    parameters=sum(math.prod(x.shape) for x in jax.tree.leaves(state.params)),
    steps={
      name: of[name](steps, config, recipe, task, state, examples)
      for name in request.steps
    },
    total_steps=recipe.total_steps if examples.num_train else None,
  )


def _training(
  steps: Steps,
  config: Any,
  recipe: parts.Recipe,
  task: tasks.Task,
  state: TrainState,
  examples: Examples,
) -> Compiled:
  batch = examples.training_batch(config)
  return steps.compile(
    "training step",
    parts.train_step(config, recipe, task, steps.mesh, warm_up_average=True),
    (state, _on(steps.mesh, batch)),
    images=config.batch_size,
    micro_batches=config.accumulation_steps,
    xla_flags=config.xla_flags.to_dict(),
    advice={
      "batch_norm_group_size": _batch_norm_group(config),
      "mixing_group_size": _mixing_group(config),
    },
  )


def _evaluation(
  steps: Steps,
  config: Any,
  recipe: parts.Recipe,
  task: tasks.Task,
  state: TrainState,
  examples: Examples,
) -> Compiled:
  batch = examples.evaluation_batch(config)
  variables = state.variables(averaged=config.evaluation.averaged_weights)
  return steps.compile(
    "evaluation step",
    parts.eval_step(config, recipe.model, task, steps.mesh),
    (variables, _on(steps.mesh, batch)),
    images=config.evaluation.batch_size,
  )


def _batch_norm_group(config: Any) -> int | None:
  """Returns the images that share statistics; 1 where nobody shares any."""
  if config.model.batch_norm_frozen:
    return 1
  return config.model.batch_norm_group_size


def _mixing_group(config: Any) -> int | None:
  """Returns the images that are mixed with one another; 1 where none are."""
  return 1 if section_table.has_masks(config) else config.mixing.group_size


def _on(mesh: jax.sharding.Mesh, batch: Parts) -> dict[str, Any]:
  """Returns the shapes of a batch, split over the mesh."""
  split = parallel.split_by_example(mesh)

  def shapes(part):
    if isinstance(part[1], str):
      shape, kind = part
      return jax.ShapeDtypeStruct(shape, np.dtype(kind), sharding=split)
    return tuple(map(shapes, part))

  return {name: shapes(part) for name, part in batch.items()}


def _bytes_a_device(x: jax.ShapeDtypeStruct) -> int:
  shape = x.shape if x.sharding is None else x.sharding.shard_shape(x.shape)
  return math.prod(shape) * x.dtype.itemsize


def main() -> None:
  """Answers the Request on stdin, as a line of JSON on stdout."""
  out = os.dup(sys.stdout.fileno())
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # What libraries print.
  request = pickle.load(sys.stdin.buffer)
  threading.Thread(target=_end_with_who_asked, daemon=True).start()
  given = os.environ.get("LIBTPU_INIT_ARGS", "")  # The run has them as well.
  written = dumps.libtpu_arguments(SCHEDULES.name)
  os.environ["LIBTPU_INIT_ARGS"] = f"{given} {written}".strip()
  try:
    said = {"answer": dataclasses.asdict(answer(request))}
  except errors.UserError as error:
    said = {"error": str(error)}
  with os.fdopen(out, "w") as file:
    json.dump(said, file)
  _end(0)  # What compilers have loaded takes seconds to end, and may abort.


def _end_with_who_asked() -> None:
  while os.read(0, 1):  # Not of sys.stdin, whose lock an end would wait for.
    pass
  _end(1)


def _end(status: int) -> NoReturn:
  SCHEDULES.cleanup()
  os._exit(status)


if __name__ == "__main__":
  main()
