"""Whether all processes of a run were started for the same work.

One that has another learning rate or batch size, another version of a library
or of this one, computes other updates or waits for others that never come, and
nothing else would say so.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from van_jax import data, errors
from van_jax.experiment.sections import Config
from van_jax.parallel import processes

# Key or section of a config: why hosts may differ in it.
LOCAL = {
  "compilation_cache": "a folder of each host's own",
  "data.directory": "each host may have its own copy; the counts are compared",
  "logging.profile_first_step": "one host alone may be looked at",
  "logging.profile_steps": "one host alone may be looked at",
}
_LIBRARIES = (
  "flax",
  "jax",
  "jax-cuda12-plugin",
  "jax-cuda13-plugin",
  "jaxlib",
  "libtpu",
  "numpy",
  "optax",
  "orbax-checkpoint",
  "tensorflow",
  "tensorflow-cpu",
  "tensorflow-datasets",
)
_VARIABLES = ("LIBTPU_INIT_ARGS", "XLA_FLAGS")  # They change programs.
_LISTED = 6  # Differences that one line spells out.
_PARTING_SECONDS = 10.0


def check(config: Config, **told: Any) -> None:
  """Checks that all processes have the same config, versions and devices.

  All processes call this, with devices touched and before anything is
  compiled; one alone returns at once.

  Args:
    config: of the run.
    **told: what else has to be the same, by the name that it is known by.

  Raises:
    UserError: in all of them, naming what differs, with the values and the
      processes that have them.
    PeerError: naming who has not come.
  """
  if not processes.several():
    return
  mine = json.dumps(_facts(config) | told, sort_keys=True, default=str)
  key = f"facts/{processes.index()}"
  processes.post(key, mine)  # Some 20 kB: read where digests differ alone.
  digest = hashlib.sha256(mine.encode()).hexdigest()
  groups: dict[str, list[int]] = {}
  for i, theirs in enumerate(processes.gather("what is to be done", digest)):
    groups.setdefault(theirs, []).append(i)
  if len(groups) == 1:
    return
  facts = [
    (indices, json.loads(processes.read(f"facts/{indices[0]}") or "{}"))
    for indices in groups.values()
  ]
  # For all to have read it; what is to be said is known whoever is late.
  with contextlib.suppress(errors.PeerError):
    processes.barrier("what differs", seconds=_PARTING_SECONDS)
  raise errors.UserError(_difference(facts))


def of_source(source: data.Source) -> dict[str, Any]:
  """Returns what of the data has to be the same, for `check`."""
  names = json.dumps(source.class_names).encode()
  return {
    "the number of training images": source.num_train,
    "the number of evaluation images": source.num_eval,
    "the digest of the class names": hashlib.sha256(names).hexdigest()[:12],
  }


def check_weights(variables: Any) -> None:
  """Checks that all processes have read the same weights.

  A run that goes on may have saved between one's reading and another's.

  Args:
    variables: arrays of the host's.

  Raises:
    UserError: in all of them, when they have not.
  """
  if not processes.several():
    return
  crc = 0
  for leaf in jax.tree.leaves(variables):
    crc = zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).data, crc)
  if others := _others("digest of the weights", crc):
    raise errors.UserError(
      f"{processes.listed(others)} read other weights than process 0 did; name "
      "the same --checkpoint, or pretrained_bundle, on every host, and a "
      "--step of a run that goes on."
    )


def check_batches(batches: data.EvalBatches | data.DenseEvalBatches) -> None:
  """Checks that all processes evaluate in the same steps.

  Those of whole images follow from the sizes of the files, which each process
  reads for itself: with others one would take more steps, and wait for ever.

  Args:
    batches: of this process.

  Raises:
    UserError: in all of them, when their files have other sizes.
  """
  if not isinstance(batches, data.DenseEvalBatches) or not processes.several():
    return
  steps = json.dumps([(p.indices.tolist(), p[1:]) for p in batches.plan])
  crc = zlib.crc32(steps.encode())
  if others := _others("digest of the images' sizes", crc):
    raise errors.UserError(
      f"{processes.listed(others)} found evaluation images of other sizes than "
      "process 0 did, and would take other steps; copy data.directory again, "
      "so that every host has the same files of data.eval_split."
    )


def _others(name: str, value: int) -> list[int]:
  """Returns the processes that have another value than process 0."""
  told = processes.gather(name, str(value))
  return [i for i, each in enumerate(told) if each != told[0]]


def _facts(config: Config) -> dict[str, Any]:
  """Returns what has to be the same in all processes, by name."""
  flat: Mapping[str, Any] = traverse_util.flatten_dict(
    config.to_dict(), sep=".", keep_empty_nodes=True
  )
  facts = {
    f"config.{key}": str(value) if isinstance(value, float) else value
    for key, value in flat.items()
    if not any(f"{key}.".startswith(f"{name}.") for name in LOCAL)
    and value is not traverse_util.empty_node
  }
  for name in _LIBRARIES:
    facts[name] = _version(name)
  return facts | {
    "python": platform.python_version(),
    "van_jax's source": _source(),
    "the number of all devices": jax.device_count(),
    "the number of a process's devices": jax.local_device_count(),
    "the kind of device": jax.local_devices()[0].device_kind,
    **{name: os.environ.get(name, "") for name in _VARIABLES},
  }


def _version(library: str) -> str:
  try:
    return importlib.metadata.version(library)
  except importlib.metadata.PackageNotFoundError:
    return "(absent)"


def _source() -> str:
  """Returns a digest of our own files: a checkout has no other version."""
  root = pathlib.Path(__file__).parents[1]
  digest = hashlib.sha256()
  for path in sorted(root.rglob("*.py")):
    digest.update(path.relative_to(root).as_posix().encode())
    digest.update(path.read_bytes())
  return digest.hexdigest()[:12]


def _difference(facts: list[tuple[list[int], Mapping[str, Any]]]) -> str:
  """Returns a line that says what differs between groups of processes."""
  lines = []
  for name in sorted({name for _, each in facts for name in each}):
    by_value: dict[str, list[int]] = {}
    for indices, each in facts:
      by_value.setdefault(str(each.get(name, "(absent)")), []).extend(indices)
    if len(by_value) > 1:
      values = [
        f"{value or '(empty)'} in {processes.listed(indices)}"
        for value, indices in by_value.items()
      ]
      lines.append(f"{name} is {', '.join(values)}")
  more = len(lines) - _LISTED
  return (
    "the processes were not started for the same work: "
    f"{'; '.join(lines[:_LISTED])}{f'; and {more} more' if more > 0 else ''}. "
    "Start the same command with the same versions on every host."
  )
