"""A file from an address into the cache: whole, checked, or not at all."""

import errno
import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

from absl import logging

from van_jax import errors
from van_jax.released import addresses, answers, cache, drafts, transfer
from van_jax.released.addresses import Address

# The largest that is published: the authors' B6, three times 283.9 M floats.
_MOST_BYTES = 8 << 30
_MOST_BYTES_BESIDE = 4 << 20  # Of a config.json, or a listing.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def fetch(address: Address, folder: pathlib.Path) -> pathlib.Path:
  """Returns the path of an address's file, which is fetched if need be.

  What is in the cache is hashed again, so that damage is found, and fetched
  anew. A file that a user has put there is taken, if its hash allows it.

  Args:
    address: of the file.
    folder: the cache's.

  Raises:
    UserError: if it does not come, or is another file than its name says.
  """
  path = cache.place(folder, address.url, address.name)
  if cache.read_record(path) and _is_sound(path, address):
    return path  # The cache may be one that can only be read.
  with _told(address, path), cache.locked(path):
    if not _is_sound(path, address):
      for name in address.beside:
        _fetch_beside(address.neighbour(name), path.with_name(name))
      _fetch_into(address, path, _MOST_BYTES)
  return path


def fetch_listing(
  repository: addresses.Repository, folder: pathlib.Path
) -> pathlib.Path:
  """Returns the path of the JSON that says what a repository holds."""
  listing = repository.listing
  address = Address(listing, listing, "", "listing.json", repository.token)
  path = cache.place(folder, listing, address.name)
  by_hand = f"name the file itself, hf://{repository.name}/FILE, or fetch it,"
  with _told(address, path, by_hand), cache.locked(path):
    if not path.exists():
      _fetch_into(address, path, _MOST_BYTES_BESIDE)
  return path


def _is_sound(path: pathlib.Path, address: Address) -> bool:
  """Returns whether the file in the cache is what was, or can be, fetched."""
  if not path.exists():
    return False
  digest = cache.digest(path)
  known = cache.read_record(path)
  wanted = known.sha256 if known else address.sha256
  if not digest.startswith(wanted):
    logging.warning("%s is damaged or another file: fetched anew.", path)
    return False
  if known is None:  # A user's hand, or a process that died just then.
    _write_record(path, address, digest)
  return True


def _fetch_beside(address: Address, path: pathlib.Path) -> None:
  """Fetches a small file, if there is one."""
  try:
    _fetch_into(address, path, _MOST_BYTES_BESIDE)
  except answers.FailedError as error:
    if not error.missing:
      raise
    path.unlink(missing_ok=True)  # Of a time when there was one.


def _fetch_into(address: Address, path: pathlib.Path, limit: int) -> None:
  """Fetches a file, and gives it its name once it is known to be right."""
  logging.info("Fetching %s.", addresses.shown(address.url))
  draft = cache.partial(path)
  result = transfer.download(address, draft, limit=limit)
  if (reason := _misfit(draft, address, result)) and result.resumed:
    logging.warning("%s: %s; once more from the start.", path.name, reason)
    drafts.forget(draft)
    result = transfer.download(address, draft, limit=limit)
    reason = _misfit(draft, address, result)
  if reason:
    drafts.forget(draft)
    raise answers.FailedError(reason)
  digest = cache.digest(draft)
  os.replace(draft, path)
  drafts.forget(draft)
  _write_record(path, address, digest)


def _misfit(
  draft: pathlib.Path, address: Address, result: transfer.Result
) -> str:
  """Returns why what came is not the file; "" if it may be."""
  digest = cache.digest(draft)
  for wanted, told in (
    (address.sha256, "its name says"),
    (result.sha256, "the hub says"),
  ):
    if not digest.startswith(wanted):
      start = len(wanted)
      return (
        f"its SHA-256 begins with {digest[:start][:16]} and should with "
        f"{wanted[:16]}, as {told}: it was changed or damaged, and is not kept"
      )
  if not draft.stat().st_size:
    return "the file is empty"
  return ""


def _write_record(path: pathlib.Path, address: Address, digest: str) -> None:
  where = addresses.without_secrets(address.url)
  size = path.stat().st_size
  cache.write_record(path, cache.Record(where, digest, size))


@contextmanager
def _told(
  address: Address, path: pathlib.Path, by_hand: str = ""
) -> Iterator[None]:
  """Turns what can go wrong into a line that says what to do by hand.

  Args:
    address: of the file.
    path: where it is to lie.
    by_hand: what to do; "" to fetch the address.
  """
  try:
    yield
  except answers.FailedError as error:
    reason = str(error)
  except OSError as error:
    if error.errno in _FULL:
      detail = f"the disk is full: {error.strerror}"
    else:
      detail = f"it cannot be written: {error.strerror or error}"
    reason = (
      f"{detail}; make room, or name another folder with {cache.VARIABLE}"
    )
  else:
    return
  url = addresses.shown(address.url)
  by_hand = by_hand or f"fetch {url}, put it at {path} and start again,"
  raise errors.UserError(
    f"{addresses.shown(address.given)} was not fetched: {reason}. To do it by "
    f"hand, {by_hand} or give the path of the file in the place of its name."
  )
