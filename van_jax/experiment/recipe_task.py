"""The task of a run: its config's, given the recipe that the config says."""

from typing import Any

from van_jax import data, tasks
from van_jax.experiment import section_table, sections
from van_jax.training.recipe import erasing


def create_task(
  config: sections.Config,
  preprocessing: data.Preprocessing | data.DensePreprocessing | None = None,
) -> tasks.Task:
  """Returns the task that `config.task` names.

  Args:
    config: a ConfigDict, as `configs/default.py` describes.
    preprocessing: has the mean and std of normalisation; None for those of
      `config.preprocessing`.

  Raises:
    UserError: for a task, a loss, or an option of theirs that is unknown.
  """
  shown = preprocessing or sections.build(config, "preprocessing")
  return tasks.create_task(
    **config.task,
    num_classes=config.model.num_classes,
    mean=shown.mean,
    std=shown.std,
    **_of_classes(config),
  )


def _of_classes(config: sections.Config) -> dict[str, Any]:
  """Returns what there is for images with a class each alone."""
  if section_table.has_masks(config):
    return {}
  return {
    "mixing": sections.bound(config, "mixing"),
    "erasing": erasing.with_own_key(sections.bound(config, "erasing")),
    "loss": sections.build(config, "loss"),
  }
