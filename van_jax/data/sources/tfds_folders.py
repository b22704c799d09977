"""TFDS data sets on disk: finds them, and prepares them when told to."""

from __future__ import annotations

import os
from typing import Any

from etils import epy

from van_jax import errors
from van_jax.data.sources import listing
from van_jax.data.tensorflow import tf, tfds

with epy.lazy_imports():
  from google.protobuf import json_format
  from tensorflow_datasets.core import read_only_builder, registered

_EMBEDDED = "digits"


class NotPreparedError(errors.UserError):
  """There is no such data set yet; says the command that makes it."""


def prepared_builder(name: str, directory: str) -> Any:
  """Returns a read-only TFDS builder; prepares "digits", nothing else.

  Raises:
    NotPreparedError: the data set is not prepared.
    UserError: it is damaged.
  """
  directory = listing.absolute(directory)
  try:
    if name == _EMBEDDED:
      prepare(name, directory)
    _hide_accelerators()
    return read_only_builder.builder_from_files(name, data_dir=directory)
  except registered.DatasetNotFoundError as error:
    raise NotPreparedError(
      f"name={name!r} is not prepared in directory={directory!r}; prepare it "
      f"with `python -m van_jax.data.prepare '{name}' "
      f"--directory={directory}`{_other_versions(name, directory)}."
    ) from error
  except (ValueError, OSError, json_format.Error) as error:
    raise errors.UserError(
      f"name={name!r} in directory={directory!r} cannot be opened: "
      f"{' '.join(str(error).split())} If its files are damaged, remove them "
      "and prepare the data set again."
    ) from error


def _other_versions(name: str, directory: str) -> str:
  """Returns what else there is of a data set, as the end of a sentence."""
  folder = os.path.join(directory, name.split(":")[0])
  versions = listing.folders(folder) if listing.is_folder(folder) else []
  if not versions:
    return ""
  return f", or name what is there: {', '.join(versions)}"


def prepare(name: str, directory: str) -> None:
  """Writes a data set below `directory`, unless it is there already.

  TFDS writes into a folder of its own and renames it at the end, so that a
  data set is there whole or not at all, and two processes may do it at once:
  the second to end finds the first one's.

  Raises:
    UserError: there is no such data set, its archives must be put in place by
      hand first, or they cannot be fetched or written.
  """
  _hide_accelerators()
  builder = _builder(name, listing.absolute(directory))
  if builder.is_prepared():
    return
  try:
    builder.download_and_prepare()
  except AssertionError as error:  # TFDS' way to say that archives lack.
    if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
      raise
    manual = os.path.join(directory, "downloads", "manual")
    raise errors.UserError(
      f"name={name!r} is made of files that TFDS cannot download; put them "
      f"into {manual}. {' '.join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())}"
    ) from error
  except (OSError, tf.errors.OpError) as error:
    if builder.is_prepared():
      return
    raise errors.UserError(
      f"name={name!r} could not be prepared in directory={directory!r}: "
      f"{error}; mend that, and give the same command again."
    ) from error


def _hide_accelerators() -> None:
  # Our first use hides them; see tensorflow.py.
  tf.config.get_visible_devices()


def _builder(name: str, directory: str) -> Any:
  if name != _EMBEDDED:
    return _builder_of_tfds(name, directory)
  from van_jax.data.sources.digits import digits_dataset_builder

  return digits_dataset_builder.Builder(data_dir=directory)


def _builder_of_tfds(name: str, directory: str) -> Any:
  try:
    return tfds.builder(name, data_dir=directory)
  except (ValueError, AssertionError) as error:  # The latter for a version.
    reason = str(error).strip().splitlines()[0]
    raise errors.UserError(
      f"name={name!r} is nothing that TFDS can make: {reason} Its catalog "
      "lists what it can, as NAME, NAME/CONFIG or NAME:VERSION."
    ) from error
