"""Which errors may be gone in a while: those of storage, for the most part."""

import errno
import os

from van_jax import errors

# A server that restarts, a cable, a busy one; and not a full or read-only disk.
_PASSING = (
  errno.EIO,
  errno.ESTALE,
  errno.ETIMEDOUT,
  errno.EAGAIN,
  errno.EBUSY,
  errno.ECONNRESET,
  errno.ECONNREFUSED,
  errno.ECONNABORTED,
  errno.EPIPE,
  errno.ENETDOWN,
  errno.ENETUNREACH,
  errno.EHOSTDOWN,
  errno.EHOSTUNREACH,
)
_HTTP = (408, 429, 500, 502, 503, 504)
# How TensorStore's messages begin, and what TensorFlow's, aiohttp's and
# requests' errors are called, which are not imported for this.
_STATUS = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED")
_NAMED = (
  "UnavailableError",
  "DeadlineExceededError",
  "AbortedError",
  "ResourceExhaustedError",
  "ClientConnectionError",
  "ClientPayloadError",
  "ServerTimeoutError",
  "ConnectionError",
  "Timeout",
  "ChunkedEncodingError",
)


class StillFailingError(errors.UserError):
  """Storage failed for longer than it was waited for; it may work again."""


def may_go_on(error: BaseException) -> bool:
  """Returns whether the same command, started again, may well go on.

  Storage has failed for longer than it was waited for, or another process is
  gone: nothing is wrong with what was asked for.
  """
  kinds = (StillFailingError, errors.PeerError)
  return isinstance(error, kinds) or is_passing(error)


def is_passing(error: BaseException) -> bool:
  """Returns whether an error of storage may be gone in a while.

  Libraries wrap what the system says in errors of their own.
  """
  chain: BaseException | None = error
  while chain is not None:
    if _passes(chain):
      return True
    if isinstance(chain, OSError) and chain.errno is not None:
      return False  # The system's own word, whatever it was in answer to.
    chain = chain.__cause__ or _context(chain)
  return False


def _context(error: BaseException) -> BaseException | None:
  """Returns what was being handled; None where `from None` says otherwise."""
  return None if error.__suppress_context__ else error.__context__


def _passes(error: BaseException) -> bool:
  if isinstance(error, TimeoutError | ConnectionError):
    return True
  if isinstance(error, OSError) and error.errno is not None:
    return error.errno in _PASSING
  if getattr(error, "code", getattr(error, "status", None)) in _HTTP:
    return True
  library = type(error).__module__.partition(".")[0]
  if library in ("jax", "jaxlib"):
    return False  # Of devices and peers.
  if library in ("tensorflow", "aiohttp", "requests", "urllib3", "gcsfs"):
    return any(kind.__name__ in _NAMED for kind in type(error).__mro__)
  text = str(error)
  if isinstance(error, ValueError | RuntimeError):  # TensorStore's, Orbax's.
    return text.startswith(_STATUS) or any(
      f"{errno.errorcode[number]} {os.strerror(number)}" in text
      for number in _PASSING
    )
  return False


def first_line(error: BaseException) -> str:
  """Returns the first line of an error, without TensorStore's settings."""
  lines = str(error).split("[tensorstore_spec")[0].strip().splitlines()
  return lines[0].rstrip(". ") if lines else repr(error)
