"""The task of a run: its config's, given the recipe that the config says."""

import jax

from van_jax import data, tasks
from van_jax.experiment import sections
from van_jax.experiment.sections import Config
from van_jax.training import randomness


def create_task(
  config: Config, preprocessing: data.Preprocessing | None = None
) -> tasks.Task:
  """Returns the task that `config.task` names.

  Args:
    config: as `configs/default.py` describes.
    preprocessing: has the mean and std of normalisation; None for those of
      `config.preprocessing`.

  Raises:
    ValueError: for a task, a loss, or an option of theirs that is unknown.
  """
  normal = preprocessing or sections.build(config, "preprocessing")

  def erase(key: jax.Array, images: jax.Array) -> jax.Array:
    own_key = randomness.stream(key, "erasing", 0)  # The key itself mixes.
    return sections.build(config, "erasing", key=own_key, images=images)

  return tasks.create_task(
    **config.task.to_dict(),
    num_classes=config.model.num_classes,
    mean=normal.mean,
    std=normal.std,
    mixing=sections.bind(config, "mixing"),
    erasing=erase,
    loss=sections.build(config, "loss"),
  )
