"""A training as it will be: all of it checked, and nothing computed yet."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import optax

from van_jax import data, errors, models, tasks
from van_jax.data import arguments
from van_jax.lab import (
  course as course_lib,
  given_data,
  numbers,
  parts,
  refusals,
)
from van_jax.training import state as state_lib
from van_jax.training.recipe import (
  ema,
  erasing,
  losses,
  mixing,
  optimizers,
)

_LARGEST = 224  # Pixels a side, unless the user says otherwise; the paper's.
_LOGS = 10  # An epoch, unless the user says otherwise.
_LABEL_SMOOTHING = 0.1  # As of `mixing.mix`.
_CROP_PCT = 0.9  # The official one, of images that are larger than the crop.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What is trained, on what, how and for how long.

  Attributes:
    model: that is trained.
    source: the data.
    task: what is learned.
    augmentation: of training images.
    preprocessing: of evaluation's.
    schedule: learning rate by updates done.
    optimizer: maps gradients to updates.
    average: `(ema, variables, step) -> ema`; None where none is kept.
    frozen_patterns: of parameters that are not trained.
    seed: of all that is drawn.
    batch_size: images an update.
    accumulation_steps: micro-batches of an update.
    eval_batch_size: images an evaluation step.
    epoch_steps: updates in an epoch.
    total_steps: updates in all.
    eval_steps: updates between two evaluations.
    log_steps: updates between two records of training.
    variables: to start from; None for drawn ones.
    head_scale: of a fresh head beside them.
    told: the recipe as JSON values: what `fitting.fit` was given of it.
  """

  model: Any
  source: data.Source
  task: tasks.Task
  augmentation: data.Augmentation
  preprocessing: data.Preprocessing
  schedule: optax.Schedule
  optimizer: optax.GradientTransformation
  average: Callable[..., Any] | None
  frozen_patterns: Sequence[str]
  seed: int
  batch_size: int
  accumulation_steps: int
  eval_batch_size: int
  epoch_steps: int
  total_steps: int
  eval_steps: int
  log_steps: int
  variables: Mapping[str, Any] | None
  head_scale: float
  told: dict[str, Any]


def plan(
  model: Any,
  source: data.Source,
  *,
  without: str | Sequence[str] = (),
  variables: Mapping[str, Any] | None = None,
  **options: Any,
) -> Plan:
  """Returns the plan; arguments as of `fitting.fit`.

  Args:
    model: see there, as for all that are not said here.
    source: the data.
    without: see there.
    variables: see there.
    **options: fields of `numbers.Numbers`, and by the names of
      `parts.SECTIONS` theirs.

  Raises:
    UserError: for what cannot be, before anything is computed.
  """
  said = numbers.checked(
    {name: options.pop(name) for name in numbers.RULES if name in options}
  )
  own = parts.options(without, options)
  model = _model(model, source)
  batch_size = said.batch_size
  eval_batch_size = said.eval_batch_size or batch_size
  refusals.check_batches(
    source, batch_size, said.accumulation_steps, eval_batch_size
  )
  epoch_steps = source.num_train // batch_size
  course = course_lib.options(said.epochs, own["schedule"])
  schedule = course_lib.schedule(course, said.learning_rate, epoch_steps)
  optimizer = optimizers.create_optimizer(schedule=schedule, **own["optimizer"])
  side = given_data.side(source)
  size = min(max(side, arguments.MIN_IMAGE_SIZE), _LARGEST)
  size = said.image_size or size
  augmentation = data.Augmentation(image_size=size, **own["augmentation"])
  preprocessing = _preprocessing(
    source, side, augmentation, own["preprocessing"]
  )
  task = _task(source, preprocessing, own)
  refusals.check_traced(model, task, optimizer, variables, size, batch_size)
  return Plan(
    model=model,
    source=source,
    task=task,
    augmentation=augmentation,
    preprocessing=preprocessing,
    schedule=schedule,
    optimizer=optimizer,
    average=ema.averager(**own["ema"]),
    frozen_patterns=own["optimizer"].get("frozen_patterns", ()),
    seed=said.seed,
    batch_size=batch_size,
    accumulation_steps=said.accumulation_steps,
    eval_batch_size=eval_batch_size,
    epoch_steps=epoch_steps,
    total_steps=course_lib.total_steps(course, epoch_steps),
    eval_steps=course_lib.eval_steps(said.eval_every_epochs, epoch_steps),
    log_steps=said.log_every_steps or max(epoch_steps // _LOGS, 1),
    variables=variables,
    head_scale=said.head_scale,
    told=_plain(
      {
        "learning_rate": said.learning_rate,
        "batch_size": batch_size,
        "accumulation_steps": said.accumulation_steps,
        "image_size": size,
        "head_scale": said.head_scale,
        **own,
        "schedule": course,
        "preprocessing": preprocessing.to_json(),
      }
    ),
  )


def _model(given: Any, source: data.Source) -> Any:
  """Returns the model, of as many classes as the data."""
  classes = source.num_classes
  if classes < 2:
    raise errors.UserError(
      f"data has {classes} class ({', '.join(source.class_names)}), and a "
      "classifier is for two or more; name the folder around class folders, or "
      "say num_classes of the model."
    )
  if isinstance(given, str):
    return models.create_model(given, num_classes=classes)
  refusals.check_model(given)
  has = getattr(given, "num_classes", classes)
  if has != classes:
    raise errors.UserError(
      f"model.num_classes={has} must be the {classes} classes of the data; "
      f"model.clone(num_classes={classes}) is one that has them."
    )
  state_lib.check_trainable(getattr(given, "dtype", None) or jnp.float32)
  return given


def _preprocessing(
  source: data.Source,
  side: int,
  training: data.Augmentation,
  own: Mapping[str, Any],
) -> data.Preprocessing:
  """Returns evaluation's: the whole image, where training shows that."""
  fields: dict[str, Any] = {"image_size": training.image_size, **own}
  warped = training.crop != "random_resized"
  if warped:  # Without random crops training brings both sides to their size.
    fields = {"resize_mode": "warp"} | fields
  if "crop_pct" not in own and "resize_size" not in own:
    whole = warped or side <= fields["image_size"]
    fields["crop_pct"] = 1.0 if whole else _CROP_PCT
  return data.Preprocessing(exif_rotation=source.exif_rotation, **fields)


def _task(
  source: data.Source, preprocessing: data.Preprocessing, own: parts.Options
) -> tasks.Task:
  losses.check_smoothing(
    own["loss"].get("options", {}),
    label_smoothing=own["mixing"].get("label_smoothing", _LABEL_SMOOTHING),
    num_classes=source.num_classes,
  )
  return tasks.create_task(
    num_classes=source.num_classes,
    mean=preprocessing.mean,
    std=preprocessing.std,
    mixing=functools.partial(mixing.mix, **own["mixing"]),
    erasing=erasing.with_own_key(
      functools.partial(erasing.erase, **own["erasing"])
    ),
    loss=losses.create_loss(**own["loss"]),
  )


def _plain(values: Any) -> dict[str, Any]:
  """Returns values as JSON gives them back."""
  return json.loads(json.dumps(values, default=str))
