"""The bundle: a folder with a model's weights and all one needs to use them.

A bundle holds `weights/`, an Orbax checkpoint of the float32 variables, and
`bundle.json`, which a person can read: the whole architecture, the class names,
the preprocessing that these weights were trained for, where they came from, and
the SHA-256 of every file of weights, so that damage is found, not evaluated.

  bundle = load_bundle("bundles/van_b0")
  logits = bundle.model.apply(bundle.variables, images, train=False)
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

import flax.core
import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import traverse_util

from van_jax import models, storage
from van_jax.data.images import preprocessing as preprocessing_lib

FORMAT = "van_jax bundle"
FORMAT_VERSION = 1
_JSON = "bundle.json"
_WEIGHTS = "weights"
_LISTED = 8  # Misfits that one error spells out.


@dataclasses.dataclass(frozen=True)
class Bundle:
  """A model, its weights, and how to feed it.

  Attributes:
    model: the Flax module.
    variables: {"params", "batch_stats"}, float32 arrays.
    preprocessing: what the weights were trained to be fed with.
    labels: one name a class, or None where they are not known.
    source: where the weights came from; plain JSON values.
  """

  model: models.VAN
  variables: dict[str, Any]
  preprocessing: preprocessing_lib.Preprocessing
  labels: tuple[str, ...] | None
  source: dict[str, Any]


def save_bundle(
  path: str | os.PathLike[str],
  *,
  model: models.VAN,
  variables: Mapping[str, Any],
  preprocessing: preprocessing_lib.Preprocessing,
  source: Mapping[str, Any],
  labels: Sequence[str] | None = None,
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
    overwrite: replace a bundle that is there already.

  Raises:
    ValueError: if the variables or labels do not fit the model, or it is
      folded.
    FileExistsError: if `path` is there and may not be replaced.
  """
  path = storage.absolute(path)
  if model.folded:
    raise ValueError(
      "model.folded=True: a folded network cannot be trained or converted; "
      "save the one that it was made from, and fold when loading."
    )
  check_destination(path, overwrite=overwrite)
  weights = _host_arrays(variables)
  _check_fit(weights, model)
  _check_labels(labels, model.num_classes)
  path.parent.mkdir(parents=True, exist_ok=True)
  draft = path.parent / f".{path.name}.{os.getpid()}.incomplete"
  try:
    draft.mkdir()
    _checkpointer().save(
      draft / _WEIGHTS, traverse_util.unflatten_dict(weights, sep="/")
    )
    description = {
      "format": FORMAT,
      "format_version": FORMAT_VERSION,
      "architecture": models.architecture(model),
      "num_classes": model.num_classes,
      "preprocessing": preprocessing.to_json(),
      "labels": None if labels is None else list(labels),
      "source": dict(source),
      "weights_sha256": _digests(draft / _WEIGHTS),
    }
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    (draft / _JSON).write_text(text, encoding="utf-8")
    _move_into_place(draft, path)
  finally:
    if draft.exists():
      draft.rmtree()


def load_bundle(
  path: str | os.PathLike[str],
  *,
  fold_batch_norm: bool = False,
  **model_overrides: Any,
) -> Bundle:
  """Reads a bundle onto the default device.

  Args:
    path: a folder that `save_bundle` wrote, on any number of devices.
    fold_batch_norm: leave its passes out; see `models.fold_batch_norm`.
    **model_overrides: fields of the model that the weights do not depend on,
      such as `dtype`, `drop_path_rate` or `remat`.

  Raises:
    FileNotFoundError: if there is no bundle at `path`.
    ValueError: if the bundle is damaged, of another format version, or an
      override would change the architecture.
  """
  path = storage.absolute(path)
  description = _read_description(path)
  architecture = description["architecture"]
  if fixed := sorted(model_overrides.keys() & architecture.keys()):
    raise ValueError(
      f"{', '.join(fixed)} cannot be overridden: the weights in {path} were "
      f"made for {fixed[0]}={architecture[fixed[0]]}; override fields that the "
      "weights do not depend on, such as dtype."
    )
  model = models.from_architecture(architecture, **model_overrides)
  if damage := _damage(path / _WEIGHTS, description["weights_sha256"]):
    raise _damaged(path, damage)
  weights = _host_arrays(_checkpointer().restore(path / _WEIGHTS))
  _check_fit(weights, model)
  variables = jax.tree.map(
    jnp.asarray, traverse_util.unflatten_dict(weights, sep="/")
  )
  if fold_batch_norm:
    model, variables = models.fold_batch_norm(model, variables)
  labels = description["labels"]
  return Bundle(
    model=model,
    variables=variables,
    preprocessing=preprocessing_lib.Preprocessing.from_json(
      description["preprocessing"]
    ),
    labels=None if labels is None else tuple(labels),
    source=description["source"],
  )


def check_destination(path: str | os.PathLike[str], *, overwrite: bool) -> None:
  """Raises FileExistsError unless a bundle may be written at `path`."""
  path = storage.absolute(path)
  if not path.exists():
    return
  if not overwrite:
    raise FileExistsError(
      f"{path} exists already; choose another folder, or pass overwrite."
    )
  if path.is_dir() and not any(path.iterdir()):
    return
  if not (path / _JSON).exists():  # Never delete what is not ours.
    raise FileExistsError(
      f"{path} is not a bundle, so it is not overwritten; choose another "
      "folder, or remove it by hand."
    )


def is_bundle(path: str | os.PathLike[str]) -> bool:
  """Returns whether `path` is a folder that says it is a bundle."""
  return (epath.Path(path) / _JSON).exists()


def _move_into_place(draft: epath.Path, path: epath.Path) -> None:
  """Renames; at every moment the old bundle or the new one is on disk."""
  if not path.exists():
    draft.rename(path)
    return
  replaced = path.parent / f".{path.name}.{os.getpid()}.replaced"
  path.rename(replaced)
  draft.rename(path)
  replaced.rmtree()


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


def _host_arrays(variables: Any) -> dict[str, np.ndarray]:
  """Returns {path: array} of host arrays, in the order of their paths."""
  flat: dict[str, Any] = traverse_util.flatten_dict(
    flax.core.unfreeze(variables), sep="/"
  )
  return {name: np.asarray(flat[name]) for name in sorted(flat)}


def _digests(folder: epath.Path) -> dict[str, str]:
  """Returns {path: SHA-256} of all files in a folder."""
  digests = {}
  for path in sorted(folder.iterdir()):
    if path.is_dir():
      inner = _digests(path)
      digests |= {f"{path.name}/{name}": inner[name] for name in inner}
    else:
      with path.open("rb") as file:
        digest = hashlib.file_digest(cast(Any, file), "sha256")
      digests[path.name] = digest.hexdigest()
  return digests


def _damage(folder: epath.Path, saved: Mapping[str, str]) -> str:
  """Returns what is wrong with the files in a folder, or nothing."""
  found = _digests(folder) if folder.exists() else {}
  if missing := sorted(saved.keys() - found.keys()):
    return f"{folder.name}/{missing[0]} is missing"
  changed = [name for name in saved if found[name] != saved[name]]
  return f"{folder.name}/{changed[0]} has changed" if changed else ""


def _check_fit(weights: Mapping[str, np.ndarray], model: models.VAN) -> None:
  """Raises ValueError unless the weights are the model's, leaf by leaf."""
  plain = model.clone(implementation="xla")  # Traced soonest.
  wanted = traverse_util.flatten_dict(
    jax.eval_shape(
      lambda: plain.init(
        jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False
      )
    ),
    sep="/",
  )
  misfits = [f"{name} is missing" for name in sorted(wanted - weights.keys())]
  misfits += [
    f"{name} is none of the model's" for name in sorted(weights.keys() - wanted)
  ]
  misfits += [
    f"{name} is {got.dtype}{list(got.shape)}, the model wants "
    f"{want.dtype}{list(want.shape)}"
    for name, want in sorted(wanted.items())
    if (got := weights.get(name)) is not None
    and (got.shape != want.shape or got.dtype != want.dtype)
  ]
  if misfits:
    more = len(misfits) - _LISTED
    raise ValueError(
      "the variables do not fit the model; save the ones that it was trained "
      "with:\n  "
      + "\n  ".join(misfits[:_LISTED])
      + (f"\n  and {more} more" if more > 0 else "")
    )


def _check_labels(labels: Sequence[str] | None, num_classes: int) -> None:
  """Raises ValueError unless there is one name a class."""
  if labels is not None and len(labels) != num_classes:
    raise ValueError(
      f"labels has {len(labels)} names and the model num_classes={num_classes}"
      "; give one name a class, or None."
    )


def _read_description(path: epath.Path) -> dict[str, Any]:
  """Returns the contents of a bundle's JSON, checked."""
  if not (path / _JSON).exists():
    raise FileNotFoundError(
      f"{path} is not a bundle: it has no {_JSON}; make one with "
      "convert_torch_weights.py, or by exporting a training run."
    )
  try:
    description = json.loads((path / _JSON).read_text(encoding="utf-8"))
    kind, version = description["format"], description["format_version"]
  except (ValueError, KeyError, TypeError) as error:
    raise _damaged(path, f"{_JSON} cannot be read: {error!r}") from error
  if (kind, version) != (FORMAT, FORMAT_VERSION):
    raise ValueError(
      f"{path} says that it is {kind!r}, version {version!r}, and this program "
      f"reads {FORMAT!r}, version {FORMAT_VERSION}; use the van_jax that "
      "wrote it, or write it anew."
    )
  wanted = {"architecture", "preprocessing", "labels", "source"}
  if missing := sorted((wanted | {"weights_sha256"}) - description.keys()):
    raise _damaged(path, f"{_JSON} has no {', '.join(missing)}")
  return description


def _damaged(path: epath.Path, what: str) -> ValueError:
  return ValueError(
    f"{path} is damaged: {what}; copy it again, or write it anew."
  )
