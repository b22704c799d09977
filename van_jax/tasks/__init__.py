"""Tasks: what turns a model's outputs into losses, sums and scores."""

from van_jax.tasks.table import TASKS as TASKS, create_task as create_task
from van_jax.tasks.task import Task as Task
