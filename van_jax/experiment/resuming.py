"""What of a config may change when a run goes on, and why."""

from collections.abc import Callable, Mapping
from typing import Any

from van_jax import imports

Plain = Mapping[str, Any]  # A config as nested dicts.

# Key or section: why it is free. It changes what a run reports or keeps, where
# it reads, or how fast it is, and not what it computes (but for rounding).
FREE = {
  "checkpoint": "when states are saved, and how many are kept",
  "compilation_cache": "where compiled programs lie",
  "data.directory": "where the data lies",
  "deadlines": "how long a run waits",
  "data.options.class_colors": "what pictures of masks look like",
  "data.on_damaged": "whoever meets a damaged image late goes on past it",
  "evaluation": "when the weights are scored, and which of them",
  "logging": "what is written",
  "mesh.fsdp": "where the state lies",
  "mesh.gradient_dtype": "the rounding of sums over devices",
  "model.implementation": "other kernels of the same operations",
  "model.remat": "memory for time: what is recomputed is the same",
  "xla_flags": "how the compiler arranges the same operations",
  "pretrained_bundle": "read before the first step, never after a checkpoint",
  "pretrained_head_scale": "likewise",
}


def _why_not_micro_batches(there: Plain, here: Plain) -> str:
  """Returns why other micro-batches give another result; "" if they do not.

  Gradients and running statistics are means over the micro-batches, so that
  only what looks at several examples at once, or draws, can tell them apart.
  """
  model = here["model"]
  named = (here["task"], here.get("loss", {}), model["attention"])
  named += (model.get("head", {}), model.get("auxiliary", {}))
  if any(imports.is_path(section.get("name")) for section in named):
    return "what is not van_jax's own may look at a micro-batch as a whole"
  # A head of ours drops channels, too.
  if model["drop_path_rate"] or model["dropout_rate"] or "head" in model:
    return "drop path and dropout draw anew for each micro-batch"
  before, now = _batch_norm_group(there), _batch_norm_group(here)
  if before != now and not model["batch_norm_frozen"]:
    return (
      f"BatchNorm had groups of {before} images and would have {now}; with "
      f"model.batch_norm_group_size={before} they would stay"
    )
  return ""


def _batch_norm_group(config: Plain) -> int:
  """Returns how many images BatchNorm takes its statistics over."""
  micro_batch = config["batch_size"] // config["accumulation_steps"]
  return config["model"]["batch_norm_group_size"] or micro_batch


def _why_not_duration(there: Plain, here: Plain) -> str:
  """Returns why a run cannot be made longer or shorter; "" if it can."""
  names = there["schedule"]["name"], here["schedule"]["name"]
  if names == ("constant", "constant"):
    return ""
  return (
    f"every rate of the schedule {names[0]!r} depends on where it ends; only "
    "a constant one can be extended"
  )


# Key: says of two configs why it is not free between them, "" if it is.
CONDITIONS: dict[str, Callable[[Plain, Plain], str]] = {
  "accumulation_steps": _why_not_micro_batches,
  "model.batch_norm_group_size": _why_not_micro_batches,
  "schedule.epochs": _why_not_duration,
  "schedule.cooldown_epochs": _why_not_duration,
}
