"""Tasks by name, and how one is made of what a run has to offer."""

from collections.abc import Callable, Mapping
from typing import Any

from van_jax import errors, imports, signatures
from van_jax.tasks import classification, segmentation
from van_jax.tasks.task import Task

TASKS: dict[str, Callable[..., Task]] = {
  "classification": classification.create,
  "segmentation": segmentation.create,
}


def create_task(
  *,
  name: str = "classification",
  options: Mapping[str, Any] | None = None,
  **offered: Any,
) -> Task:
  """Returns a task, made of those of the offered values that it declares.

  Args:
    name: of `TASKS`, or an import path, "module:function".
    options: the named one's own keywords; None for its defaults.
    **offered: what a run has for any task: num_classes, mean and std (of
      [0, 1] pixels), and the functions of its recipe, mixing, erasing and
      loss; see `classification.create`. A task whose function has no such
      keyword does without.

  Raises:
    UserError: for an unknown name or option, with the nearest.
  """
  create = imports.choose(name, TASKS, "task.name")
  signatures.check_callable(create, "task.name")
  declared = signatures.declared(create, offered)
  signatures.check(create, options or {}, "task.options", given=declared)
  task = create(**declared, **(options or {}))
  if not isinstance(task, Task):
    raise errors.UserError(
      f"task.name={name!r} gives {type(task).__name__} and must give a "
      "van_jax.tasks.Task; return one."
    )
  return task
