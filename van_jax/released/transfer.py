"""Gets one file over HTTP: goes on where it broke off, and always ends."""

import contextlib
import dataclasses
import errno
import os
import pathlib
import shutil
import time
import urllib.parse
from typing import Any

from absl import logging

from van_jax.released import addresses, answers, drafts
from van_jax.released.progress import Progress

_TIMEOUTS = (20.0, 30.0)  # Seconds: to connect; between two pieces.
_SLOW_SECONDS, _SLOW_BYTES = 60.0, 60 * 1024  # Slower than that is stalled.
_TRIES = 4  # In a row that bring less than a megabyte.
_GAIN = 1 << 20
_PAUSE_SECONDS = 0.5  # Before the second try; then twice that, and so on.
_REDIRECTS = 10
_CHUNK = 1 << 16


@dataclasses.dataclass
class _Download:
  """One file on its way.

  Attributes:
    address: of it.
    draft: where its bytes go.
    limit: bytes that it may have at most.
    session: of requests.
    answered: whether the server has ever been reached.
    resumed: whether the draft was begun by another answer.
    sha256: of the file, where the hub tells; or "".
  """

  address: addresses.Address
  draft: pathlib.Path
  limit: int
  session: Any
  answered: bool = False
  resumed: bool = False
  sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Result:
  """What is known of a file that came: see `_Download`."""

  sha256: str
  resumed: bool


def download(
  address: addresses.Address, draft: pathlib.Path, *, limit: int
) -> Result:
  """Gets a file; what a try before left in `draft` is not fetched again.

  Args:
    address: of the file.
    draft: where to put it. It stays when the connection breaks, for the next
      try, and goes when what came was not the file.
    limit: the most bytes to take.

  Raises:
    FailedError: if it does not come.
    UserError: if the address leads to where no program should follow.
    OSError: if it cannot be written.
  """
  import requests

  failures, best = 0, drafts.size(draft)
  with requests.Session() as session:
    one = _Download(address, draft, limit, session)
    while True:
      try:
        _attempt(one)
        return Result(one.sha256, one.resumed)
      except answers.BrokenError as error:
        here = drafts.size(draft)
        failures = 0 if here >= best + _GAIN else failures + 1
        best = max(best, here)
        if failures >= _TRIES or not one.answered:
          raise answers.FailedError(str(error)) from error
        logging.warning("%s: %s; going on.", draft.name, error)
        time.sleep(_PAUSE_SECONDS * 2 ** max(failures - 1, 0))


def _attempt(one: _Download) -> None:
  """Asks once for what is missing, and writes it."""
  here, version = drafts.size(one.draft), drafts.version(one.draft)
  # Parts of two versions are found out where the hash is known, and only there.
  if here and not (version or one.address.sha256 or one.sha256):
    drafts.forget(one.draft)
    here = 0
  headers = {"Accept-Encoding": "identity", "User-Agent": "van_jax"}
  if here:
    headers["Range"] = f"bytes={here}-"
    if version:
      headers["If-Range"] = version
  with contextlib.closing(_open(one, headers)) as response:
    one.answered = True
    if here and response.status_code == 416:
      if answers.content_range(response)[1] == here:
        one.resumed = True
        return
      drafts.forget(one.draft)
      raise answers.BrokenError(
        "the file has become shorter since its first part came"
      )
    answers.check_status(response)
    if response.status_code != 206:
      here = 0
    elif answers.content_range(response)[0] != here:
      drafts.forget(one.draft)
      raise answers.BrokenError(
        "the server sent another part than it was asked for"
      )
    one.resumed = one.resumed or here > 0
    _write(one, response, here)


def _open(one: _Download, headers: dict[str, str]) -> Any:
  """Returns the answer at the end of all redirections."""
  import requests

  url = one.address.url
  host = urllib.parse.urlsplit(url).netloc
  for _ in range(_REDIRECTS):
    sent = dict(headers)
    if one.address.token and urllib.parse.urlsplit(url).netloc == host:
      sent["Authorization"] = f"Bearer {one.address.token}"
    try:
      response = one.session.get(
        url, headers=sent, stream=True, allow_redirects=False, timeout=_TIMEOUTS
      )
    except requests.RequestException as error:
      raise answers.unreachable(error, url) from error
    one.sha256 = one.sha256 or answers.told_hash(response)
    if not response.is_redirect:
      return response
    response.close()
    url = urllib.parse.urljoin(url, response.headers["location"])
    addresses.check(url, one.address.given)
  raise answers.FailedError(
    f"it was redirected {_REDIRECTS} times, in a circle perhaps"
  )


def _write(one: _Download, response: Any, here: int) -> None:
  """Writes an answer's bytes behind the `here` ones that are there."""
  total = answers.total(response, here)
  if total is not None:
    _check_room(one, total, here)
  drafts.keep_version(one.draft, response)
  progress = Progress(
    one.draft.name.removesuffix(".partial"), done=here, total=total
  )
  with one.draft.open("ab" if here else "wb", buffering=0) as file:
    try:
      for data in _pieces(response):
        if not here and answers.is_page(data):
          drafts.forget(one.draft)
          raise answers.FailedError(answers.A_PAGE)
        view = memoryview(data)
        while view:
          view = view[file.write(view) :]
        here += len(data)
        if here > one.limit:
          raise _too_large(one, here)
        progress.update(here)
      os.fsync(file.fileno())
    except answers.BrokenError as error:
      of = "" if total is None else f" of {total} that the server announced"
      raise answers.BrokenError(f"{error} after {here} bytes{of}") from error
    finally:
      progress.close(here)
  if total is not None and here != total:
    raise answers.BrokenError(
      f"the file ended after {here} bytes of {total} that the server announced"
    )


def _pieces(response: Any) -> Any:
  """Yields bytes as they come; ends on a connection that hardly moves."""
  import urllib3

  came, since = 0, time.monotonic()
  while True:
    try:  # Not `read`, which waits for all it is asked for.
      data = response.raw.read1(_CHUNK, decode_content=False)
    except urllib3.exceptions.TimeoutError as error:
      raise answers.BrokenError("the server stopped sending") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
      raise answers.BrokenError("the connection broke") from error
    if not data:
      return
    yield data
    came += len(data)
    if (now := time.monotonic()) - since > _SLOW_SECONDS:
      if came < _SLOW_BYTES:
        raise answers.BrokenError("the server hardly sends anything")
      came, since = 0, now


def _check_room(one: _Download, total: int, here: int) -> None:
  if total > one.limit:
    raise _too_large(one, total)
  free = shutil.disk_usage(one.draft.parent).free
  if total - here > free:
    raise OSError(
      errno.ENOSPC,
      f"{(total - here) / 1e6:.1f} MB are missing, {free / 1e6:.1f} are free",
    )


def _too_large(one: _Download, size: int) -> answers.FailedError:
  drafts.forget(one.draft)
  return answers.FailedError(
    f"it has {size / 1e6:.1f} MB or more, and {one.limit / 1e6:.1f} are the "
    "most that is fetched"
  )
