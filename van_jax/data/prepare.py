"""TFDS data sets on disk: finds them, and prepares them when told to.

  python -m van_jax.data.prepare NAME --directory=DIRECTORY

NAME is "digits" or any TFDS name; TFDS may then download it.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from etils import epy

from van_jax.data.host import tf, tfds

with epy.lazy_imports():
  from google.protobuf import json_format
  from tensorflow_datasets.core import read_only_builder, registered

_EMBEDDED = "digits"


def prepared_builder(name: str, directory: str) -> Any:
  """Returns a read-only TFDS builder; prepares "digits", nothing else.

  Raises:
    ValueError: the data set is not prepared; says the command to do it.
  """
  directory = os.path.expanduser(directory)
  try:
    if name == _EMBEDDED:
      prepare(name, directory)
    _hide_accelerators()
    return read_only_builder.builder_from_files(name, data_dir=directory)
  except registered.DatasetNotFoundError as error:
    raise ValueError(
      f"name={name!r} is not prepared in directory={directory!r}; prepare it "
      f"with `python -m van_jax.data.prepare '{name}' "
      f"--directory={directory}`."
    ) from error
  except (ValueError, OSError, json_format.Error) as error:
    raise ValueError(
      f"name={name!r} in directory={directory!r} cannot be opened: {error} "
      f"If its files are damaged, remove them and prepare the data set again."
    ) from error


def prepare(name: str, directory: str) -> None:
  """Writes a data set below `directory`, unless it is there already.

  TFDS writes into a folder of its own and renames it at the end, so that a
  data set is there whole or not at all, and two processes may do it at once:
  the second to end finds the first one's.
  """
  _hide_accelerators()
  builder = _builder(name, os.path.expanduser(directory))
  if builder.is_prepared():
    return
  try:
    builder.download_and_prepare()
  except (OSError, tf.errors.OpError):
    if not builder.is_prepared():
      raise


def _hide_accelerators() -> None:
  tf.config.get_visible_devices()  # Our first use hides them; see host.py.


def _builder(name: str, directory: str) -> Any:
  if name != _EMBEDDED:
    return tfds.builder(name, data_dir=directory)
  from van_jax.data.digits import digits_dataset_builder

  return digits_dataset_builder.Builder(data_dir=directory)


def main(arguments: list[str] | None = None) -> None:
  """Prepares the data set that the command line names."""
  parser = argparse.ArgumentParser(
    prog="python -m van_jax.data.prepare", description="Prepares a data set."
  )
  parser.add_argument("name", help="digits, or any TFDS name")
  parser.add_argument("--directory", required=True, help="where to write it")
  options = parser.parse_args(arguments)
  prepare(options.name, options.directory)
  print(f"{options.name} is ready in {options.directory}.", file=sys.stderr)


if __name__ == "__main__":
  main()
