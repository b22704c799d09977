"""Our network as a contestant: its training step and its inference."""

import functools
import gzip
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax

from benchmarks.gpu import networks
from van_jax import parallel
from van_jax.training import compiling, state as state_lib, step as step_lib
from van_jax.training.recipe import losses, optimizers, smoothing

_SMOOTHING = 0.1  # Of the labels.


class Contestant:
  """Runs one implementation.

  The step is a run's own: drop path, BatchNorm over the batch, label
  smoothing, AdamW with its groups, norms of gradients, and a donated state.
  """

  def __init__(self, job: Mapping[str, Any]):
    self.job = job
    implementation, _, flags = job["style"].partition(":")
    self._xla_flags = dict(f.split("=") for f in flags.split(";") if f)
    self.model = networks.flax_model(
      job,
      dtype=job["dtype"],
      implementation=implementation,
      drop_path_rate=networks.DROP_PATH,
    )
    self._programs: dict[str, Any] = {}
    self._lowered: dict[str, Any] = {}
    self.set_batch(job["batch"])

  def set_batch(self, batch: int) -> None:
    """Draws images, and a state as it is before the first step."""
    self.batch = batch
    self._programs, self._lowered = {}, {}
    mesh = parallel.create_mesh(jax.devices()[:1])
    classes = self.model.num_classes
    schedule = optax.constant_schedule(1e-4)
    optimizer = optimizers.create_optimizer(schedule=schedule)
    variables = networks.weights(self.model)
    create = functools.partial(
      state_lib.create_state, optimizer=optimizer, ema=False
    )
    zeros = jax.tree.map(
      lambda x: np.zeros(x.shape, x.dtype), jax.eval_shape(create, variables)
    )
    state = zeros.replace(**variables)
    whole = parallel.replicated(mesh)
    self._state = jax.device_put(state, whole)
    self._variables = jax.device_put(variables, whole)
    self._inputs = jax.device_put(
      {
        "image": networks.images(self.job, batch),
        "label": networks.labels(classes, batch),
      },
      parallel.split_by_example(mesh),
    )
    step = step_lib.make_train_step(
      apply=self.model.apply,
      optimizer=optimizer,
      schedule=schedule,
      prepare=lambda key, batch: (
        batch["image"],
        smoothing.smooth_one_hot(batch["label"], classes, _SMOOTHING),
      ),
      loss=lambda logits, targets: (
        losses.soft_cross_entropy(logits, targets),
        {},
      ),
      root_key=jax.random.key(0),
      mesh=mesh,
    )
    infer = jax.jit(functools.partial(self.model.apply, train=False))
    self._functions: dict[str, Any] = {
      "training": (step, lambda: (self._state, self._inputs)),
      "inference": (infer, lambda: (self._variables, self._inputs["image"])),
    }

  def lower(self, mode: str) -> None:
    """Traces a program, which takes a CPU alone."""
    function, arguments = self._functions[mode]
    self._lowered[mode] = function.lower(*arguments())

  def compile(self, mode: str) -> dict[str, Any]:
    """Returns seconds, and the bytes that XLA says the program needs."""
    start = time.monotonic()
    if mode not in self._lowered:
      self.lower(mode)
    program = compiling.compile_with(self._lowered[mode], self._xla_flags)
    self._programs[mode] = program
    answer: dict[str, Any] = {"seconds": time.monotonic() - start}
    plan: Any = program.memory_analysis()
    if plan is not None:
      answer["peak_bytes"] = (
        plan.argument_size_in_bytes
        + plan.output_size_in_bytes
        - plan.alias_size_in_bytes
        + plan.temp_size_in_bytes
      )
    return answer

  def run(self, mode: str, count: int) -> None:
    """Runs so many times, and waits for the last."""
    if mode not in self._programs:
      self.compile(mode)
    program = self._programs[mode]
    result: Any = None
    for _ in range(count):
      if mode == "training":
        self._state, result = program(self._state, self._inputs)
      else:
        result = program(self._variables, self._inputs["image"])
    jax.block_until_ready((self._state, result))

  def finite(self) -> bool:
    """Returns whether the last state has numbers only."""
    leaves = jax.tree.leaves(self._state.params)
    return all(bool(np.isfinite(x).all()) for x in map(np.asarray, leaves[-4:]))

  def memory(self) -> dict[str, int]:
    """Returns bytes: the most in use until now, autotuning's trials and all."""
    found = jax.devices()[0].memory_stats() or {}
    return {"in_use_bytes": found.get("peak_bytes_in_use", 0)}

  def rest(self) -> None:
    """Does nothing: XLA's pool goes back when the process ends."""

  def profile(self, mode: str, folder: pathlib.Path, count: int) -> str:
    """Traces so many runs, and keeps the program's text; returns the trace."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with jax.profiler.trace(str(folder), profiler_options=options):
      self.run(mode, count)
    with gzip.open(folder / "hlo.txt.gz", "wt") as file:
      file.write(self._programs[mode].as_text())
    return str(max(folder.rglob("*.trace.json.gz")))


def is_out_of_memory(error: Exception) -> bool:
  """Returns whether that is what an error says."""
  return "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)
