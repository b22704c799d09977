"""The task of a run: its config's, given the recipe that the config says."""

import functools
from typing import Any

import jax

from van_jax import data, tasks
from van_jax.training import randomness
from van_jax.training.recipe import erasing, losses, mixing


def create_task(
  config: Any, preprocessing: data.Preprocessing | None = None
) -> tasks.Task:
  """Returns the task that `config.task` names.

  Args:
    config: a ConfigDict, as `configs/default.py` describes.
    preprocessing: has the mean and std of normalisation; None for those of
      `config.preprocessing`.

  Raises:
    ValueError: for a task, a loss, or an option of theirs that is unknown.
  """
  preprocessing = preprocessing or data.Preprocessing(**config.preprocessing)

  def erase(key: jax.Array, images: jax.Array) -> jax.Array:
    own_key = randomness.stream(key, "erasing", 0)  # The key itself mixes.
    return erasing.erase(own_key, images, **config.erasing)

  return tasks.create_task(
    **config.task,
    num_classes=config.model.num_classes,
    mean=preprocessing.mean,
    std=preprocessing.std,
    mixing=functools.partial(mixing.mix, **config.mixing),
    erasing=erase,
    loss=losses.create_loss(**config.loss),
  )
