"""The task of a run: its config's, given the recipe that the config says."""

import jax

from van_jax import data, tasks
from van_jax.experiment import sections
from van_jax.training import randomness


def create_task(
  config: sections.Config, preprocessing: data.Preprocessing | None = None
) -> tasks.Task:
  """Returns the task that `config.task` names.

  Args:
    config: a ConfigDict, as `configs/default.py` describes.
    preprocessing: has the mean and std of normalisation; None for those of
      `config.preprocessing`.

  Raises:
    UserError: for a task, a loss, or an option of theirs that is unknown.
  """
  shown: data.Preprocessing = preprocessing or sections.build(
    config, "preprocessing"
  )
  erase = sections.bound(config, "erasing")

  def erase_with_own_key(key: jax.Array, images: jax.Array) -> jax.Array:
    own_key = randomness.stream(key, "erasing", 0)  # The key itself mixes.
    return erase(own_key, images)

  return tasks.create_task(
    **config.task,
    num_classes=config.model.num_classes,
    mean=shown.mean,
    std=shown.std,
    mixing=sections.bound(config, "mixing"),
    erasing=erase_with_own_key,
    loss=sections.build(config, "loss"),
  )
