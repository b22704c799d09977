"""Reads a bundle; nothing that it names is imported."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath
from flax import traverse_util

from van_jax import errors, host_memory, models, storage
from van_jax.bundle import description, weights
from van_jax.bundle.bundle import CLASSIFICATION, Bundle
from van_jax.data import arguments
from van_jax.data.images.dense_preprocessing import DensePreprocessing
from van_jax.data.images.preprocessing import Preprocessing

_HEAD = "params/head/"
_BACKBONE = "backbone"
# Of the classifiers that ImageNet's statistics came with.
_SQUARE = {"image_size": 224, "resize_size": 256}


def load_bundle(
  path: str | os.PathLike[str],
  *,
  attention: type | str | None = None,
  head: type | str | None = None,
  auxiliary: type | str | None = None,
  fold_batch_norm: bool = False,
  preprocessing: Mapping[str, Any] | None = None,
  **model_overrides: Any,
) -> Bundle[Any]:
  """Reads a bundle onto the default device.

  On CPUs malloc keeps its memory from then on, for the whole process, unless
  JAX's devices have been used before or the environment says otherwise: see
  `host_memory`.

  Args:
    path: a folder that `save_bundle` wrote, on any number of devices.
    attention: the class of the model's attention, or its import path, where it
      is not one of van_jax's own: the bundle has its name and its fields, and
      no code.
    head: likewise of a segmenter's head.
    auxiliary: likewise of its auxiliary head.
    fold_batch_norm: leave its passes out; see `models.fold_batch_norm`.
    preprocessing: fields that are to differ from what the weights were trained
      for, such as {"crop_pct": 1.0}.
    **model_overrides: fields of the model that the weights do not depend on,
      such as `dtype`, `drop_path_rate` or `remat`; or num_classes=0, which
      leaves the heads out: the model is then a VAN that gives features, [B, C].

  Raises:
    UserError: if there is no bundle at `path`.
    UserError: if the bundle is damaged, of a newer format version, has not as
      many labels or colours as classes, wants an attention that is not given,
      or an override would change the architecture.
  """
  host_memory.keep_on_cpus()
  path = storage.absolute(path)
  fields = description.read(path)
  architecture, handed = fields["architecture"], {"attention": attention}
  bare = model_overrides.get("num_classes") == 0
  dense = _BACKBONE in architecture
  if dense and bare:
    architecture = architecture[_BACKBONE]
  elif dense:
    handed |= {"head": head, "auxiliary": auxiliary}
  model = models.from_architecture(architecture, **handed, **model_overrides)
  saved = models.from_architecture(architecture, **handed)
  headless = saved.num_classes > 0 and model.num_classes == 0
  _check_same(path, saved.clone(num_classes=0) if headless else saved, model)
  labels, colors = (
    None if bare else _of_classes(path, fields, name, saved.num_classes)
    for name in ("labels", "colors")
  )
  if damage := weights.damage(path, fields["weights_sha256"]):
    raise description.damaged(path, damage)
  arrays = weights.read(path)
  if dense and bare:
    arrays = _of_backbone(arrays)
  weights.check_fit(arrays, saved)
  if headless:
    arrays = {k: v for k, v in arrays.items() if not k.startswith(_HEAD)}
  variables = jax.tree.map(
    jnp.asarray, traverse_util.unflatten_dict(arrays, sep="/")
  )
  if fold_batch_norm:
    model, variables = models.fold_batch_norm(model, variables)
  shown = _preprocessing(fields["preprocessing"], dense=dense, bare=bare)
  return Bundle(
    model=model,
    variables=variables,
    preprocessing=shown.replace(**(preprocessing or {})),
    labels=None if labels is None else tuple(labels),
    source=fields["source"],
    task=CLASSIFICATION if dense and bare else fields["task"],
    colors=None if colors is None else tuple((r, g, b) for r, g, b in colors),
  )


def _of_classes(
  path: epath.Path, fields: Mapping[str, Any], name: str, num_classes: int
) -> list[Any] | None:
  """Returns a field with one value a class, which a person may have edited.

  Args:
    path: of the bundle.
    fields: of its JSON.
    name: "labels" or "colors", which may be null.
    num_classes: K, of its model.

  Raises:
    UserError: for other values, or not K of them.
  """
  values, place = fields[name], f"{path / description.NAME}: {name}"
  if values is None:
    return None
  if not isinstance(values, list) or len(values) != num_classes:
    count = len(values) if isinstance(values, list) else "no list"
    raise errors.UserError(
      f"{place} has {count} and the model num_classes={num_classes}; write one "
      "for each class, in the order of their numbers, or null for none."
    )
  for i, value in enumerate(values):
    if name == "colors":
      color = tuple(value) if isinstance(value, list) else (value,)
      arguments.check_color(color, f"{place}[{i}]")
    elif not isinstance(value, str | int | float):
      raise errors.UserError(f"{place}[{i}]={value!r} must be text, a name.")
  # Version 0.1 wrote numbers as they were given.
  return [*map(str, values)] if name == "labels" else values


def _of_backbone(arrays: weights.Arrays) -> weights.Arrays:
  """Returns a segmenter's arrays that are its VAN's, as that has them."""
  found = {}
  for name, array in arrays.items():
    collection, part, rest = name.split("/", 2)
    if part == _BACKBONE:
      found[f"{collection}/{rest}"] = array
  return found


def _preprocessing(
  fields: Mapping[str, Any], *, dense: bool, bare: bool
) -> Preprocessing | DensePreprocessing:
  """Returns what a bundle says; of a segmenter's VAN, what suits that."""
  if not dense:
    return Preprocessing.from_json(fields)
  shown = DensePreprocessing.from_json(fields)
  if not bare:
    return shown
  kept = {name: getattr(shown, name) for name in ("mean", "std")}
  return Preprocessing(**_SQUARE, **kept, exif_rotation=shown.exif_rotation)


def load_backbone(
  path: str | os.PathLike[str], **options: Any
) -> Bundle[models.VAN]:
  """Reads a bundle without its head: a model that gives features.

    backbone = van_jax.load_backbone("bundles/van_b0")
    run = functools.partial(backbone.model.apply, backbone.variables)
    maps = run(images, method="features")  # Strides 4, 8, 16, 32; or
    pooled = run(images)  # [B, C].

  Args:
    path: a bundle's folder, of a classifier, a segmenter, or a backbone.
    **options: as of `load_bundle`.

  Returns:
    a bundle whose model is a VAN with num_classes=0, whose variables have no
    head, and which has no labels; it can be saved, fine-tuned and converted as
    any other.
  """
  return load_bundle(path, num_classes=0, **options)


def _check_same(path: epath.Path, saved: Any, overridden: Any) -> None:
  """Raises UserError where an override would change the architecture."""
  there, here = _fields(saved), _fields(overridden)
  if fixed := [name for name in there if there[name] != here[name]]:
    raise errors.UserError(
      f"{', '.join(fixed)} cannot be overridden: the weights in {path} were "
      f"made for {fixed[0]}={there[fixed[0]]}; override fields that the "
      "weights do not depend on, such as dtype."
    )


def _fields(model: Any) -> dict[str, Any]:
  """Returns a model's architecture; of a segmenter its VAN's fields, too."""
  fields = models.architecture(model)
  return fields.pop(_BACKBONE, {}) | fields
