"""Training from Python: no folder, no config, the same step as train.py's."""

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from van_jax import data as data_lib, errors
from van_jax.lab import given_data, planning, running
from van_jax.lab.fitted import Fit

DIRECTORY = "~/tensorflow_datasets"
_NONE: Mapping[str, Any] = MappingProxyType({})


def fit(
  model: Any,
  data: Any,
  *,
  evaluation: Any = None,
  epochs: float,
  batch_size: int = 128,
  learning_rate: float = 1e-3,
  seed: int = 0,
  without: str | Sequence[str] = (),
  augmentation: Mapping[str, Any] = _NONE,
  preprocessing: Mapping[str, Any] = _NONE,
  mixing: Mapping[str, Any] = _NONE,
  erasing: Mapping[str, Any] = _NONE,
  loss: Mapping[str, Any] = _NONE,
  schedule: Mapping[str, Any] = _NONE,
  optimizer: Mapping[str, Any] = _NONE,
  ema: Mapping[str, Any] = _NONE,
  image_size: int | None = None,
  variables: Mapping[str, Any] | None = None,
  head_scale: float = 1.0,
  accumulation_steps: int = 1,
  eval_every_epochs: float = 1.0,
  eval_batch_size: int | None = None,
  log_every_steps: int | None = None,
  class_names: Sequence[str] | None = None,
  directory: str | os.PathLike[str] = DIRECTORY,
  progress: bool | None = None,
) -> Fit:
  """Trains a model, and returns what came of it; nothing is written.

    result = van_jax.fit("van_b0", (images, labels), evaluation=0.1, epochs=10)
    result.scores["top1"], result.history["train/loss"].values
    result.save("bundles/mine")  # Weights, labels, preprocessing.

  All parts of the official recipe are there until they are switched off:
  `without=("mixing", "erasing")`; `van_jax.lab.PARTS` has their names. Their
  options are a config's, by its sections: `mixing={"mixup_alpha": 0.2}`,
  `schedule={"name": "official", "warmup_epochs": 5.0, "cooldown_epochs": 10.0}`
  for the official course, whose rate changes once an epoch. Unless it is said,
  the course is a cosine over all steps, after a warm-up of a tenth of the
  epochs, at most 5, so that short runs train too.

  With the same settings and seed every update is train.py's, bit for bit.
  Ctrl-C (a notebook's stop button) or SIGTERM ends it after the step, and what
  was reached is returned: `Fit.is_whole` says so. A second Ctrl-C is a
  KeyboardInterrupt.

  Args:
    model: a VAN; the name of one, which gets the data's number of classes; or
      a flax module that is called alike: `model.apply(variables, images,
      train=...)` from normalised [B, S, S, 3] to [B, K].
    data: a pair of arrays: images uint8 [N, H, W, 3] (or grey, [N, H, W, 1] or
      [N, H, W]) and labels, integers [N] from 0 to K - 1; the path of a folder
      of class folders; the name of a source, "digits" or a TFDS data set, of
      which "train" is taken; or a `van_jax.data.Source`.
    evaluation: the same again (arrays, a folder, of a named source the split);
      or the part of `data` that is held out, 0.01 to 0.99, always the same
      whatever the seed; None for none.
    epochs: of training; may be a fraction.
    batch_size: images an update, over all devices.
    learning_rate: the peak, at this batch size; rescaled nowhere.
    seed: of the first weights, order, augmentation and dropout.
    without: the parts of the recipe that are left out, by name; "all" leaves
      plain training.
    augmentation: options of `van_jax.data.Augmentation`.
    preprocessing: options of `van_jax.data.Preprocessing`, of evaluation; mean
      and std of training too. Unless they say, images that are no larger than
      `image_size` are shown whole, others cropped as officially (0.9); without
      random crops in training all are, both sides brought to `image_size`.
    mixing: options of `training.recipe.mixing.mix`: mixup, CutMix, smoothing.
    erasing: options of `training.recipe.erasing.erase`.
    loss: "name" and "options", of `training.recipe.losses`.
    schedule: options of `training.recipe.schedules.create_schedule`.
    optimizer: options of `training.recipe.optimizers.create_optimizer`.
    ema: "decay" and "warmup" of averaged weights, which are then evaluated and
      returned; officially there are none.
    image_size: pixels a side, at least 32; None for the larger side of the
      first image, from 32 to 224.
    variables: to start from, a bundle's say; a head of another number of
      classes is drawn anew.
    head_scale: of such a head's weights.
    accumulation_steps: micro-batches that a batch is cut into.
    eval_every_epochs: of evaluation; math.inf for the end alone.
    eval_batch_size: images an evaluation step; None for `batch_size`.
    log_every_steps: of the history of training; None for ten times an epoch.
    class_names: one a class, of arrays; None for the numbers.
    directory: where named data sets lie (TFDS's `data_dir`).
    progress: whether there is a bar; None for in a terminal or a notebook.

  Raises:
    UserError: for what cannot be, in one line; for a NaN, naming its step.
  """
  source = opened(
    model,
    data,
    evaluation,
    class_names=class_names,
    directory=directory,
  )
  plan = planning.plan(
    model,
    source,
    epochs=epochs,
    batch_size=batch_size,
    learning_rate=learning_rate,
    seed=seed,
    without=without,
    image_size=image_size,
    variables=variables,
    head_scale=head_scale,
    accumulation_steps=accumulation_steps,
    eval_every_epochs=eval_every_epochs,
    eval_batch_size=eval_batch_size,
    log_every_steps=log_every_steps,
    augmentation=augmentation,
    preprocessing=preprocessing,
    mixing=mixing,
    erasing=erasing,
    loss=loss,
    schedule=schedule,
    optimizer=optimizer,
    ema=ema,
  )
  return running.run(plan, shown=progress)


def opened(
  model: Any,
  data: Any,
  evaluation: Any,
  *,
  class_names: Sequence[str] | None,
  directory: str | os.PathLike[str],
) -> data_lib.Source:
  """Returns the data as a source; arguments as of `fit`."""
  if not isinstance(directory, str | os.PathLike):
    raise errors.UserError(
      f"directory={directory!r} must be a path, a text or a pathlib.Path."
    )
  classes = getattr(model, "num_classes", None)
  if classes == 0:
    raise errors.UserError(
      "model.num_classes=0: the model gives features, and fit trains a "
      "classifier; model.clone(num_classes=K) is one."
    )
  return given_data.opened(
    data,
    evaluation,
    directory=os.fspath(directory),
    class_names=class_names,
    num_classes=classes,
  )
