"""Writes a bundle: all of it, or nothing, and only what can be read again."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from van_jax import errors, models, places, storage
from van_jax.bundle import description, weights
from van_jax.bundle.bundle import CLASSIFICATION
from van_jax.data.images import preprocessing as preprocessing_lib


def save_bundle(
  path: str | os.PathLike[str],
  *,
  model: models.VAN,
  variables: Mapping[str, Any],
  preprocessing: preprocessing_lib.Preprocessing,
  source: Mapping[str, Any],
  labels: Sequence[str] | None = None,
  task: str = CLASSIFICATION,
  overwrite: bool = False,
) -> None:
  """Writes a bundle: all of it, or nothing.

  The folder is written beside `path` and renamed when it is complete. With many
  processes, one of them calls this, with variables that it holds in full.

  Args:
    path: the folder to make.
    model: a VAN.
    variables: what `model.init` gives, trained; arrays of float32.
    preprocessing: what these weights want their images to be.
    source: where the weights came from; any plain JSON values.
    labels: one name a class, in the order of the logits.
    task: what the model's outputs are for, by name.
    overwrite: replace a bundle that is there already.

  Raises:
    UserError: if the variables or labels do not fit the model, or
      `load_bundle` could not make it again.
    UserError: if `path` is there and may not be replaced.
  """
  architecture, again = _architecture(model)
  check_destination(path, overwrite=overwrite)
  arrays = weights.host_arrays(variables)
  weights.check_fit(arrays, again)
  _check_labels(labels, model.num_classes)
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
        "labels": None if labels is None else list(labels),
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


def check_van(model: Any) -> None:
  """Raises UserError unless a bundle may have such a model."""
  if not isinstance(model, models.VAN):
    raise errors.UserError(
      f"model is a {type(model).__qualname__}, and bundles are of models.VAN; "
      "keep the variables of another module as your own code does."
    )


def check_model(model: Any) -> None:
  """Raises UserError unless `load_bundle` could make such a model again."""
  _architecture(model)


def _architecture(model: models.VAN) -> tuple[dict[str, Any], models.VAN]:
  """Returns the model's fields as JSON, and what `load_bundle` makes of them.

  Raises:
    UserError: if that is another model.
  """
  check_van(model)
  if model.folded:
    raise errors.UserError(
      "model.folded=True: a folded network cannot be trained or converted; "
      "save the one that it was made from, and fold when loading."
    )
  fields = json.loads(json.dumps(models.architecture(model)))
  attention = model.attention["name"]  # The class of a stranger's.
  handed_over = attention if isinstance(attention, type) else None
  again = models.from_architecture(fields, handed_over)
  if models.architecture(again) != fields:
    raise errors.UserError(
      f"model is a {type(model).__qualname__}, and load_bundle would make "
      f"another model of its fields, {fields}: a bundle has no code; put what "
      "is different into an attention module of models.VAN."
    )
  return fields, again


def _check_labels(labels: Sequence[str] | None, num_classes: int) -> None:
  """Raises UserError unless there is one name a class."""
  if labels is not None and len(labels) != num_classes:
    raise errors.UserError(
      f"labels has {len(labels)} names and the model num_classes={num_classes}"
      "; give one name a class, or None."
    )
