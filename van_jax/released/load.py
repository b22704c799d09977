"""Weights by name: fetched, converted once, and loaded."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import re
import shutil
from typing import Any

import jax
from absl import logging

from van_jax import bundle as bundle_lib, errors, interop, storage
from van_jax.bundle import description, weights
from van_jax.released import addresses, cache, fetch, hub, table
from van_jax.released.addresses import Address

_NAME = re.compile(r"van_\w+(\.\w+)*")

Path = str | os.PathLike[str]


def load_pretrained(
  name: str, *, cache_dir: Path | None = None, **options: Any
) -> bundle_lib.Bundle[Any]:
  """Returns published weights: fetched and converted once, then from disk.

    bundle = van_jax.load_pretrained("van_b0")
    logits = bundle.model.apply(bundle.variables, images, train=False)

  Args:
    name: of `list_pretrained()`, such as "van_b0" or "van_b0.official"; or the
      address of a file, `https://...` or `hf://OWNER/NAME[@REVISION][/FILE]`.
    cache_dir: where files and bundles are kept; None for what VAN_JAX_CACHE
      names, or ~/.cache/van_jax.
    **options: as for `load_bundle`.

  Raises:
    UserError: if there is no such name, the file does not come, or is not
      VAN's weights; the message says how to fetch it by hand.
  """
  if not addresses.is_address(name) and table.find(name) is None:
    raise errors.UserError(
      f"name={name!r} is not the name of released weights; "
      f"{table.suggestion(name)} (Of a bundle's folder: load_bundle.)"
    )
  folder = cache.folder(cache_dir)
  path = _bundle(_address(name, folder), folder)
  return bundle_lib.load_bundle(path, **options)


def local_file(given: Path, *, cache_dir: Path | None = None) -> str:
  """Returns the path of a file of weights that a user named.

  Args:
    given: a path, which stays as it is; or a name or an address as for
      `load_pretrained`, whose file is fetched. What is there on disk is a path
      first.
    cache_dir: as for `load_pretrained`.

  Raises:
    UserError: as `load_pretrained`.
  """
  text = os.fspath(given)
  if _is_path(text):
    return text
  folder = cache.folder(cache_dir)
  return os.fspath(fetch.fetch(_address(text, folder), folder))


def local_bundle(given: Path, *, cache_dir: Path | None = None) -> str:
  """Returns the path of a bundle that a user named; see `local_file`."""
  text = os.fspath(given)
  if _is_path(text):
    return text
  folder = cache.folder(cache_dir)
  return os.fspath(_bundle(_address(text, folder), folder))


def _is_path(text: str) -> bool:
  """Returns whether a text is a path, and not a name or an address."""
  if not text:
    raise errors.UserError(
      "'' names no weights; give the path of a file or folder, an address, or "
      f"a name. {table.suggestion(text)}"
    )
  if addresses.is_address(text):
    return False
  if storage.is_remote(text):
    return True
  known = table.find(text) is not None
  if storage.absolute(text).exists():
    if known:
      logging.info("%s: what is there on disk, not the weights' name.", text)
    return True
  if not known and _NAME.fullmatch(text):
    raise errors.UserError(
      f"{text}: there is no such file or folder, and no released weights have "
      f"that name; {table.suggestion(text)}"
    )
  return not known


def _address(text: str, folder: pathlib.Path) -> Address:
  """Returns the address that a name or an address stands for."""
  if (named := table.find(text)) is not None:
    text = named[1].address
  row = table.find_address(text)
  text, beside = (row.address, row.beside) if row else (text, None)
  return hub.address(text, folder, beside) or addresses.web(text, beside or ())


def _bundle(address: Address, folder: pathlib.Path) -> pathlib.Path:
  """Returns the path of an address's bundle, made if it is not there."""
  file = cache.place(folder, address.url, address.name)
  record = cache.read_record(file)
  if record is None or _damaged(_bundle_path(folder, file, record)):
    file = fetch.fetch(address, folder)
    record = cache.read_record(file)
    assert record is not None, file
    path = _bundle_path(folder, file, record)
    if _damaged(path):
      try:
        _make(path, file, record)
      except OSError as error:
        raise cache.unwritable(path, error) from error
    return path
  return _bundle_path(folder, file, record)


def _bundle_path(
  folder: pathlib.Path, file: pathlib.Path, record: cache.Record
) -> pathlib.Path:
  """Returns where the bundle of a file is kept: the file's hash says.

  With it, what lies beside the file, and the code that converts it.
  """
  digest = hashlib.sha256(_conversion().encode())
  for name in ("config.json", "preprocessor_config.json"):
    if (path := file.with_name(name)).exists():
      digest.update(f"{name} {cache.digest(path)}".encode())
  name = f"{record.sha256[:32]}-{digest.hexdigest()[:8]}"
  return folder / "bundles" / name


def _damaged(path: pathlib.Path) -> bool:
  """Returns whether there is no bundle at a path that can be loaded."""
  try:
    fields = description.read(storage.absolute(path))
    damage = weights.damage(storage.absolute(path), fields["weights_sha256"])
  except (errors.UserError, OSError):
    return True
  return bool(damage)


def _make(path: pathlib.Path, file: pathlib.Path, record: cache.Record) -> None:
  """Converts a file to the bundle at a path; another process may be faster."""
  from van_jax.interop import convert  # Slow: imported where it is needed.

  bundle = convert.read_weights(file)
  size = sum(leaf.nbytes for leaf in jax.tree.leaves(bundle.variables))
  with cache.room(path) as own:
    free = shutil.disk_usage(own).free
    if size > free:
      raise errors.UserError(
        f"the bundle of {file.name} needs {size / 1e6:.1f} MB, and "
        f"{own.parent} has {free / 1e6:.1f} free; make room, or name another "
        f"folder with {cache.VARIABLE}."
      )
    fields = {
      f.name: getattr(bundle, f.name) for f in dataclasses.fields(bundle)
    }
    fields["source"] = bundle.source | {"address": record.address}
    bundle_lib.save_bundle(own / "bundle", **fields)
    if path.exists() and _damaged(path):
      os.rename(path, own / "damaged")
    try:
      os.rename(own / "bundle", path)
    except OSError:
      if not path.exists():
        raise


@functools.cache
def _conversion() -> str:
  """Returns a digest of the code that converts: other code, other bundles."""
  digest = hashlib.sha256()
  for folder in map(pathlib.Path, interop.__path__):
    for path in sorted(folder.rglob("*")):
      if path.suffix in (".py", ".tsv"):
        digest.update(path.read_bytes())
  return digest.hexdigest()
