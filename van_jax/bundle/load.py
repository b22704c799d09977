"""Reads a bundle; nothing that it names is imported."""

import os
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath
from flax import traverse_util

from van_jax import errors, host_memory, models, storage
from van_jax.bundle import description, weights
from van_jax.bundle.bundle import Bundle
from van_jax.data.images import preprocessing as preprocessing_lib


def load_bundle(
  path: str | os.PathLike[str],
  *,
  attention: type | None = None,
  fold_batch_norm: bool = False,
  **model_overrides: Any,
) -> Bundle:
  """Reads a bundle onto the default device.

  On CPUs malloc keeps its memory from then on, for the whole process, unless
  JAX's devices have been used before or the environment says otherwise: see
  `host_memory`.

  Args:
    path: a folder that `save_bundle` wrote, on any number of devices.
    attention: the class of the model's attention, where it is not one of
      van_jax's own: the bundle has its name and its fields, and no code.
    fold_batch_norm: leave its passes out; see `models.fold_batch_norm`.
    **model_overrides: fields of the model that the weights do not depend on,
      such as `dtype`, `drop_path_rate` or `remat`.

  Raises:
    UserError: if there is no bundle at `path`.
    UserError: if the bundle is damaged, of a newer format version, wants an
      attention that is not given, or an override would change the
      architecture.
  """
  host_memory.keep_on_cpus()
  path = storage.absolute(path)
  fields = description.read(path)
  architecture = fields["architecture"]
  handed = {} if attention is None else {"attention": attention}
  model = models.from_architecture(architecture, **handed, **model_overrides)
  _check_same(path, models.from_architecture(architecture, **handed), model)
  if damage := weights.damage(path, fields["weights_sha256"]):
    raise description.damaged(path, damage)
  arrays = weights.read(path)
  weights.check_fit(arrays, model)
  variables = jax.tree.map(
    jnp.asarray, traverse_util.unflatten_dict(arrays, sep="/")
  )
  if fold_batch_norm:
    model, variables = models.fold_batch_norm(model, variables)
  labels = fields["labels"]
  return Bundle(
    model=model,
    variables=variables,
    preprocessing=preprocessing_lib.Preprocessing.from_json(
      fields["preprocessing"]
    ),
    labels=None if labels is None else tuple(labels),
    source=fields["source"],
    task=fields["task"],
  )


def _check_same(
  path: epath.Path, saved: models.VAN, overridden: models.VAN
) -> None:
  """Raises UserError where an override would change the architecture."""
  there, here = models.architecture(saved), models.architecture(overridden)
  if fixed := [name for name in there if there[name] != here[name]]:
    raise errors.UserError(
      f"{', '.join(fixed)} cannot be overridden: the weights in {path} were "
      f"made for {fixed[0]}={there[fixed[0]]}; override fields that the "
      "weights do not depend on, such as dtype."
    )
