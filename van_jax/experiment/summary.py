"""What a run says of itself when it starts."""

import math
import os
from typing import Any

import jax
from absl import logging

from van_jax import data
from van_jax.analysis import complexity as complexity_lib
from van_jax.experiment.parts import Recipe
from van_jax.experiment.sections import Config
from van_jax.training.recipe import freezing
from van_jax.training.state import TrainState


def log(
  config: Config,
  recipe: Recipe,
  source: data.Source,
  state: TrainState,
  workdir: str | os.PathLike[str],
) -> None:
  """Logs the model, the data, the steps, the devices and the folder."""
  for line in lines(config, recipe, source, state, workdir):
    logging.info("%s", line)


def lines(
  config: Config,
  recipe: Recipe,
  source: data.Source,
  state: TrainState,
  workdir: str | os.PathLike[str],
) -> list[str]:
  """Returns what `log` logs.

  Args:
    config: of the run.
    recipe: of the run.
    source: its data.
    state: that it starts or goes on from.
    workdir: its folder.
  """
  done, total = int(state.step), recipe.total_steps
  start = f"going on after step {done}" if done else "from the first step"
  trained, frozen = _parameters(config, state.params)
  size = config.augmentation.image_size
  # Traced on shapes alone: a second or three, beside minutes of compiling.
  flops = complexity_lib.complexity(recipe.model, size).flops
  return [
    f"Model: {config.model.name}, {trained:,} parameters trained and "
    f"{frozen:,} frozen, {_rounded(flops)}FLOPs an image of {size} x {size}.",
    f"Data: {config.data.name}, {source.num_train:,} images for training, "
    f"{source.num_eval:,} for evaluation.",
    f"Steps: {total:,} of {config.batch_size} images, {recipe.epoch_steps:,} "
    f"an epoch; {start}.",
    f"Devices: {jax.device_count()} x {jax.devices()[0].device_kind} in "
    f"{jax.process_count()} processes.",
    f"Workdir: {os.fspath(workdir)}.",
  ]


def _parameters(config: Config, params: Any) -> tuple[int, int]:
  """Returns how many numbers are trained, and how many are frozen."""
  patterns = config.optimizer.frozen_patterns
  sizes = [math.prod(x.shape) for x in jax.tree.leaves(params)]
  if not patterns:
    return sum(sizes), 0
  labels = jax.tree.leaves(freezing.freeze_labels(params, patterns))
  pairs = list(zip(sizes, labels, strict=True))
  frozen = sum(size for size, label in pairs if label == "frozen")
  return sum(sizes) - frozen, frozen


def _rounded(number: float) -> str:
  """Returns 0.88 G or 35 M."""
  if number >= 1e8:
    return f"{number / 1e9:.2f} G"
  return f"{number / 1e6:.1f} M"
