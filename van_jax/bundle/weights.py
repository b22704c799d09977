"""A bundle's `weights/`: arrays on disk, their digests, and their fit."""

import hashlib
from collections.abc import Mapping
from typing import Any, cast

import flax.core
import jax
import numpy as np
from etils import epath
from flax import traverse_util

from van_jax import errors, models

NAME = "weights"
_LISTED = 8  # Misfits that one error spells out.

Arrays = dict[str, np.ndarray]  # By path: "params/head/kernel".


def write(folder: epath.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes arrays by path as an Orbax checkpoint in a folder."""
  tree = traverse_util.unflatten_dict(dict(arrays), sep="/")
  _checkpointer().save(folder / NAME, tree)


def read(folder: epath.Path) -> Arrays:
  """Returns the arrays by path that a folder's checkpoint holds."""
  return host_arrays(_checkpointer().restore(folder / NAME))


def host_arrays(variables: Any) -> Arrays:
  """Returns {path: array} of host arrays, in the order of their paths.

  Raises:
    UserError: if a part of one lies with another process.
  """
  flat: dict[str, Any] = traverse_util.flatten_dict(
    flax.core.unfreeze(variables), sep="/"
  )
  for name, array in flat.items():
    if isinstance(array, jax.Array) and not (
      array.is_fully_addressable or array.is_fully_replicated
    ):
      raise errors.UserError(
        f"{name} lies in parts that other processes hold; have all of them "
        "call van_jax.parallel.whole_array on each array, and one of them save."
      )
  return {name: np.asarray(flat[name]) for name in sorted(flat)}


def digests(folder: epath.Path) -> dict[str, str]:
  """Returns {path: SHA-256} of all files in a folder."""
  found = {}
  for path in sorted(folder.iterdir()):
    if path.is_dir():
      inner = digests(path)
      found |= {f"{path.name}/{name}": inner[name] for name in inner}
    else:
      with path.open("rb") as file:
        digest = hashlib.file_digest(cast(Any, file), "sha256")
      found[path.name] = digest.hexdigest()
  return found


def damage(folder: epath.Path, saved: Mapping[str, str]) -> str:
  """Returns what is wrong with a bundle's files of weights, or nothing."""
  found = digests(folder / NAME) if (folder / NAME).exists() else {}
  if missing := sorted(saved.keys() - found.keys()):
    return f"{NAME}/{missing[0]} is missing"
  changed = [name for name in saved if found[name] != saved[name]]
  return f"{NAME}/{changed[0]} has changed" if changed else ""


def check_fit(
  arrays: Mapping[str, np.ndarray], model: models.VAN | models.Segmenter
) -> None:
  """Raises UserError unless the arrays are the model's, leaf by leaf."""
  wanted: dict[str, Any] = traverse_util.flatten_dict(
    models.variable_shapes(model), sep="/"
  )
  misfits = [f"{name} is missing" for name in sorted(wanted.keys() - arrays)]
  misfits += [
    f"{name} is none of the model's" for name in sorted(arrays.keys() - wanted)
  ]
  misfits += [
    f"{name} is {got.dtype}{list(got.shape)}, the model wants "
    f"{want.dtype}{list(want.shape)}"
    for name, want in sorted(wanted.items())
    if (got := arrays.get(name)) is not None
    and (got.shape != want.shape or got.dtype != want.dtype)
  ]
  if misfits:
    more = len(misfits) - _LISTED
    raise errors.UserError(
      "the variables do not fit the model; save the ones that it was trained "
      "with:\n  "
      + "\n  ".join(misfits[:_LISTED])
      + (f"\n  and {more} more" if more > 0 else "")
    )


def _checkpointer() -> Any:
  """Returns an Orbax checkpointer that waits for no other process."""
  import orbax.checkpoint as ocp  # Slow: imported where it is needed.

  process = jax.process_index()
  options = ocp.options.MultiprocessingOptions(
    primary_host=process,
    active_processes={process},
    barrier_sync_key_prefix=f"bundle{process}",
  )
  # Copies would let the caller go on while files are written; we wait.
  handlers = ocp.type_handlers
  registry = handlers.create_type_handler_registry(
    (np.ndarray, handlers.NumpyHandler(deepcopy_host_arrays=False)),
    (jax.Array, handlers.ArrayHandler()),  # Or Orbax warns; we have none.
  )
  handler = ocp.PyTreeCheckpointHandler(
    multiprocessing_options=options, type_handler_registry=registry
  )
  return ocp.Checkpointer(handler, multiprocessing_options=options)
