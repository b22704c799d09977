"""What the machine of pickles handles: bytes, calls, placeholders, keys."""

import pickle
from collections.abc import Callable
from typing import IO, Any

from van_jax import errors

MAX_DEPTH = 100
MAX_KEY_LENGTH = 4096  # Lightning's callbacks have their arguments as keys.


class Call:
  """A function of ours in the place of one that a pickle names.

  Attributes:
    takes_unknown: whether it is called with what is unknown, too.
  """

  def __init__(
    self, function: Callable[..., Any], *, takes_unknown: bool = False
  ):
    self._function = function
    self.takes_unknown = takes_unknown

  def __call__(self, *args: Any) -> Any:
    """Calls it."""
    return self._function(*args)


class Unknown:
  """Something of a class that is not rebuilt; it has no contents.

  Attributes:
    name: of the class, dotted.
    is_module: whether its state is a torch.nn.Module's.
  """

  def __init__(self, name: str):
    self.name = name
    self.is_module = False

  def set_state(self, state: Any) -> None:
    """Forgets the state, but for whether it is a module's."""
    self.is_module = (
      isinstance(state, dict)
      and {
        "_parameters",
        "_modules",
      }
      <= state.keys()
    )


class _UnusableKey:
  """A key that is no scalar and no short text."""


class Source:
  """A file that is never asked for more than it has."""

  def __init__(self, file: IO[bytes]):
    self._file = file
    start = file.tell()
    self._left = file.seek(0, 2) - start
    file.seek(start)

  def read(self, count: int) -> bytes:
    """Returns so many bytes."""
    self._left -= count
    if self._left < 0:
      raise pickle.UnpicklingError("it is cut short")
    return self._file.read(count)

  def readline(self) -> bytes:
    """Returns what is up to the next end of a line."""
    line = self._file.readline()
    self._left -= len(line)
    return line


def as_key(value: Any) -> Any:
  """Returns a scalar or short text as it is, else a key that equals none."""
  if value is None or type(value) in (bool, int, float):
    return value
  if type(value) in (str, bytes) and len(value) <= MAX_KEY_LENGTH:
    return value
  return _UnusableKey()


def check_depth(tree: Any) -> None:
  """Raises UserError for what is nested as nothing that belongs to weights."""
  seen: set[int] = set()
  ahead = [(tree, 0)]
  while ahead:
    node, depth = ahead.pop()
    if not isinstance(node, dict | list | tuple) or id(node) in seen:
      continue
    if depth > MAX_DEPTH:
      raise errors.UserError(
        f"its pickle is nested deeper than {MAX_DEPTH} levels, as no file of "
        "weights is; save the state_dict alone."
      )
    seen.add(id(node))
    children = node.values() if isinstance(node, dict) else node
    ahead.extend((child, depth + 1) for child in children)
