"""Reading a checkpoint: the whole state or the weights alone, verified."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from van_jax import errors, retrying, storage
from van_jax.training.run import attempts, checksum, fingerprint, peers
from van_jax.training.state import TrainState

SECONDS = 1200.0  # That storage may fail for while a checkpoint is read.
_LISTED = 8  # Misfits that one error spells out.
# Of a state, in the order in which version 1 added them up to one checksum.
_PARTS = ("step", "params", "batch_stats", "opt_state", "ema")


class CheckpointError(errors.UserError):
  """A checkpoint could not be written or read."""


def restore(
  directory: str | os.PathLike[str],
  step: int,
  like: TrainState,
  *,
  seconds: float = SECONDS,
) -> TrainState:
  """Returns the state of one checkpoint, whole and verified.

  Of whatever mesh and however many processes it was saved by. All processes of
  the run call this; each reads its own shards, and what one cannot read none
  has read.

  Args:
    directory: the folder of checkpoints.
    step: which of them.
    like: arrays or `jax.ShapeDtypeStruct`s with the shardings wanted.
    seconds: that it is tried for while the storage fails.

  Raises:
    CheckpointError: when it is missing or damaged.
    StillFailingError: when the storage fails for longer.
    UserError: when it is of another architecture or optimizer.
  """
  path = _existing(directory, step)
  abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)

  def read():
    with _reader(ocp.StandardCheckpointHandler) as reader:
      _check_architecture(path, _metadata(reader, path), abstract)
      return (
        _read(reader, path, state=ocp.args.StandardRestore(abstract)),
        _read(reader, path, fingerprint=ocp.args.JsonRestore()),
      )

  state, checksums = _together(read, path, seconds)
  _verify(path, {name: getattr(state, name) for name in _PARTS}, checksums)
  return state


def _together(read: Callable[[], Any], path: epath.Path, seconds: float) -> Any:
  """Returns what all processes have read of a checkpoint, each its own part."""
  try:
    return attempts.together(read, f"Reading {path}", seconds=seconds)
  except attempts.OtherProcessError as error:
    raise CheckpointError(f"Checkpoint {path} is damaged: {error}") from error


def restore_weights(
  directory: str | os.PathLike[str],
  step: int,
  like: Mapping[str, Any],
  *,
  averaged: bool,
) -> dict[str, Any]:
  """Returns the variables of one checkpoint, verified.

  No more of it is read, so that nobody needs to know its optimizer. Only
  version 1, with its one checksum over all, has to be read whole.

  Args:
    directory: the folder of checkpoints.
    step: which of them.
    like: {"params", "batch_stats"}, arrays or `jax.ShapeDtypeStruct`s with the
      shardings wanted.
    averaged: the exponential averages, if the run kept them.

  Raises:
    CheckpointError: when it is missing or damaged.
    UserError: when it is of another architecture.
  """
  path = _existing(directory, step)

  def read():
    with _reader(ocp.PyTreeCheckpointHandler) as reader:
      saved = _metadata(reader, path)
      wanted = dict(like)
      if averaged and saved.get("ema"):  # None where the run kept none.
        wanted = {"ema": wanted}
      _check_architecture(path, {k: saved.get(k) for k in wanted}, wanted)
      checksums = _read(reader, path, fingerprint=ocp.args.JsonRestore())
      names = _PARTS if "crc32" in checksums else wanted
      arrays = _host_arrays({k: saved.get(k) for k in names})
      return wanted, checksums, _read(reader, path, state=arrays)

  wanted, checksums, parts = _together(read, path, SECONDS)
  _verify(path, parts, checksums)
  return jax.tree.map(
    _placed,
    dict(like),
    parts["ema"] if "ema" in wanted else {k: parts[k] for k in wanted},
  )


def _placed(like: Any, array: np.ndarray) -> jax.Array:
  """Returns an array as the shards of it that are this process's."""
  return jax.make_array_from_callback(
    array.shape, like.sharding, lambda index: array[index]
  )


def _existing(directory: str | os.PathLike[str], step: int) -> epath.Path:
  """Returns the folder of a checkpoint.

  Raises:
    CheckpointError: when there is none, with the steps that there are.
  """
  folder = storage.absolute(directory)
  if (folder / str(step)).is_dir():
    return folder / str(step)
  found = sorted(ocp.utils.checkpoint_steps(folder)) if folder.is_dir() else []
  raise CheckpointError(
    f"There is no checkpoint {folder / str(step)}; steps there: {found}."
  )


def _reader(
  handler: Callable[..., Any],
) -> contextlib.AbstractContextManager[ocp.Checkpointer]:
  """Returns what reads checkpoints, their states by this kind of handler.

  It waits for no other process: one that cannot read would be waited for.
  """
  process = jax.process_index()
  alone = ocp.options.MultiprocessingOptions(
    primary_host=process,
    active_processes={process},
    barrier_sync_key_prefix=f"reader{process}",
  )
  options: dict[str, Any] = {"multiprocessing_options": alone}
  return ocp.Checkpointer(
    ocp.CompositeCheckpointHandler(
      state=handler(**options),
      fingerprint=ocp.JsonCheckpointHandler(**options),
      # Or Orbax warns of what is there.
      metrics=ocp.JsonCheckpointHandler(**options),
      composite_options=ocp.CompositeOptions(**options),
    ),
    **options,
  )


@contextlib.contextmanager
def _damage_named(path: epath.Path) -> Iterator[None]:
  """Turns any of a dozen errors, by what is damaged, into a CheckpointError.

  But not those of storage that fails for a while, or of a lost peer.
  """
  try:
    yield
  except Exception as error:
    if retrying.is_passing(error) or peers.is_loss(error):
      raise
    what = f"{type(error).__name__}: {retrying.first_line(error)}"
    raise CheckpointError(f"Checkpoint {path} is damaged: {what}.") from error


def _metadata(reader: ocp.Checkpointer, path: epath.Path) -> dict[str, Any]:
  """Returns the shapes and types of a state, by its parts' names."""
  with _damage_named(path):
    items: Any = reader.metadata(path).item_metadata
    return dict(items.state.tree)


def _read(reader: ocp.Checkpointer, path: epath.Path, **item: Any) -> Any:
  """Returns one item of a checkpoint."""
  (name,) = item
  with _damage_named(path):
    return reader.restore(path, args=ocp.args.Composite(**item))[name]


def _host_arrays(saved: Mapping[str, Any]) -> Any:
  """Returns the arguments that read these parts, as NumPy arrays."""
  return ocp.args.PyTreeRestore(
    item=jax.tree.map(lambda x: np.empty(x.shape, x.dtype), dict(saved)),
    restore_args=jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), dict(saved)
    ),
    partial_restore=True,
  )


def _verify(
  path: epath.Path, parts: Mapping[str, Any], checksums: Mapping[str, Any]
) -> None:
  """Raises CheckpointError unless the parts are those that were saved."""
  with _damage_named(path):  # A fingerprint may be damaged as well.
    if checksum.NAME in checksums:
      expected = {name: checksums[checksum.NAME][name] for name in parts}
      found = checksum.checksums(parts)
    elif "parts_crc32" in checksums:
      expected = {name: checksums["parts_crc32"][name] for name in parts}
      found = fingerprint.fingerprints(parts)
    else:
      expected = checksums["crc32"]
      found = fingerprint.fingerprint([parts[name] for name in _PARTS])
  if found != expected:
    raise CheckpointError(
      f"Checkpoint {path} is damaged: its arrays are not those that were "
      "saved (checksum)."
    )


def _check_architecture(path: epath.Path, saved: Any, like: Any):
  """Raises a UserError that lists what a checkpoint has and `like` has not."""

  def shapes(tree):
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
      jax.tree_util.keystr(keys, simple=True, separator="/"): tuple(x.shape)
      for keys, x in leaves
    }

  there, here = shapes(saved), shapes(like)
  misfits = [
    f"{name}: checkpoint {there.get(name)}, config {here.get(name)}"
    for name in sorted(there.keys() | here.keys())
    if there.get(name) != here.get(name)
  ]
  if misfits:
    more = f" and {len(misfits) - _LISTED} more" * (len(misfits) > _LISTED)
    raise errors.UserError(
      f"Checkpoint {path} does not fit the config: "
      f"{'; '.join(misfits[:_LISTED])}{more}. Use the config that it was "
      "trained with."
    )
