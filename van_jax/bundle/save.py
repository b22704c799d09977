"""Writes a bundle: all of it, or nothing, and only what can be read again."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from van_jax import errors, models, places, storage
from van_jax.bundle import description, weights
from van_jax.bundle.bundle import CLASSIFICATION, SEGMENTATION
from van_jax.data import arguments
from van_jax.data.images.dense_preprocessing import DensePreprocessing
from van_jax.data.images.preprocessing import Preprocessing


def save_bundle(
  path: str | os.PathLike[str],
  *,
  model: models.VAN | models.Segmenter,
  variables: Mapping[str, Any],
  preprocessing: Preprocessing | DensePreprocessing,
  source: Mapping[str, Any],
  labels: Sequence[str] | None = None,
  task: str | None = None,
  colors: Sequence[Sequence[int]] | None = None,
  overwrite: bool = False,
) -> None:
  """Writes a bundle: all of it, or nothing.

  The folder is written beside `path` and renamed when it is complete. With many
  processes, one of them calls this, with variables that it holds in full.

  Args:
    path: the folder to make.
    model: a VAN, or a Segmenter on one.
    variables: what `model.init` gives, trained; arrays of float32.
    preprocessing: what these weights want their images to be; of a Segmenter
      it is a DensePreprocessing.
    source: where the weights came from; any plain JSON values.
    labels: one name a class, in the order of the logits.
    task: what the model's outputs are for, by name; None for classification, or
      a Segmenter's segmentation.
    colors: of a Segmenter, one a class, (r, g, b) of 0 to 255.
    overwrite: replace a bundle that is there already.

  Raises:
    UserError: if the variables, or what belongs to them, do not fit the model,
      or `load_bundle` could not make it again.
    UserError: if `path` is there and may not be replaced.
  """
  architecture, again = _architecture(model)
  check_destination(path, overwrite=overwrite)
  arrays = weights.host_arrays(variables)
  weights.check_fit(arrays, again)
  _check_labels(labels, model.num_classes)
  dense = isinstance(model, models.Segmenter)
  task = task or (SEGMENTATION if dense else CLASSIFICATION)
  _check_kind(task, preprocessing, dense=dense)
  shown: dict[str, Any] = {"labels": None if labels is None else list(labels)}
  if dense:
    shown["colors"] = _as_json(colors, model.num_classes)
  elif colors is not None:
    raise errors.UserError(
      "colors are of the classes of a Segmenter's masks, and model is a VAN; "
      "leave them out."
    )
  with storage.replacing(path) as draft:
    draft.mkdir()
    weights.write(draft, arrays)
    description.write(
      draft,
      {
        "task": task,
        "architecture": architecture,
        "num_classes": model.num_classes,
        "preprocessing": preprocessing.to_json(),
        **shown,
        "source": dict(source),
        "weights_sha256": weights.digests(draft / weights.NAME),
      },
    )


def check_destination(
  path: str | os.PathLike[str], *, overwrite: bool, name: str = "path"
) -> None:
  """Raises UserError unless a bundle may be written at `path`.

  Args:
    path: as the user gave it.
    overwrite: whether a bundle that is there may be replaced.
    name: of the flag or argument that it was given for.
  """
  places.check_own(
    path,
    name,
    kind="a bundle",
    is_own=description.is_bundle,
    overwrite=overwrite,
  )


def check_kind(model: Any) -> None:
  """Raises UserError unless a bundle may have such a model."""
  if not isinstance(model, models.VAN | models.Segmenter):
    raise errors.UserError(
      f"model is a {type(model).__qualname__}, and bundles are of models.VAN "
      "and models.Segmenter; keep the variables of another module as your own "
      "code does."
    )


def check_model(model: Any) -> None:
  """Raises UserError unless `load_bundle` could make such a model again."""
  _architecture(model)


def _architecture(
  model: models.VAN | models.Segmenter,
) -> tuple[dict[str, Any], Any]:
  """Returns the model's fields as JSON, and what `load_bundle` makes of them.

  Raises:
    UserError: if that is another model.
  """
  check_kind(model)
  van, handed = model, {}
  if isinstance(model, models.Segmenter):
    van = model.backbone
    handed = {"head": _strangers(model.head)}
    if model.auxiliary is not None:
      handed["auxiliary"] = _strangers(model.auxiliary)
  if van.folded:
    raise errors.UserError(
      "model.folded=True: a folded network cannot be trained or converted; "
      "save the one that it was made from, and fold when loading."
    )
  fields = json.loads(json.dumps(models.architecture(model)))
  again = models.from_architecture(fields, _strangers(van.attention), **handed)
  if models.architecture(again) != fields:
    raise errors.UserError(
      f"model is a {type(model).__qualname__}, and load_bundle would make "
      f"another model of its fields, {fields}: a bundle has no code; put what "
      "is different into an attention or a head of its own."
    )
  return fields, again


def _strangers(module: Mapping[str, Any]) -> type | None:
  """Returns the class of a module that is none of ours."""
  return module["name"] if isinstance(module["name"], type) else None


def _check_kind(task: str, preprocessing: Any, *, dense: bool) -> None:
  """Raises UserError where a task or a preprocessing is the other kind's."""
  model, others = "VAN", SEGMENTATION
  wanted: Any = Preprocessing
  if dense:
    model, others, wanted = "Segmenter", CLASSIFICATION, DensePreprocessing
  if task == others:
    raise errors.UserError(
      f"task={task!r} is not what a {model} does; leave it out, or save a "
      "model of the other kind."
    )
  if not isinstance(preprocessing, wanted):
    raise errors.UserError(
      f"preprocessing is a {type(preprocessing).__name__}, and a {model} has "
      f"data.{wanted.__name__}; give one."
    )


def _as_json(
  colors: Sequence[Sequence[int]] | None, num_classes: int
) -> list[list[int]] | None:
  """Returns colours as JSON values, or raises UserError."""
  if colors is None:
    return None
  if len(colors) != num_classes:
    raise errors.UserError(
      f"colors has {len(colors)} and the model num_classes={num_classes}; give "
      "one a class, or None."
    )
  for i, color in enumerate(colors):
    arguments.check_color(tuple(color), f"colors[{i}]")
  return [[int(level) for level in color] for color in colors]


def _check_labels(labels: Sequence[str] | None, num_classes: int) -> None:
  """Raises UserError unless there is one name a class."""
  if labels is None:
    return
  if len(labels) != num_classes:
    raise errors.UserError(
      f"labels has {len(labels)} names and the model num_classes={num_classes}"
      "; give one name a class, or None."
    )
  for i, label in enumerate(labels):
    if not isinstance(label, str):
      raise errors.UserError(f"labels[{i}]={label!r} must be text, a name.")
