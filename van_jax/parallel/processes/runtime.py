"""JAX's distributed runtime: its client, and the store of keys behind it.

The store is process 0's. Whoever has joined may read and write in it, while
others compute or wait at a barrier, too.
"""

from typing import Any

import jax

from van_jax import errors

_PREFIX = "van_jax/"  # JAX, XLA and Orbax have keys in the same store.


def several() -> bool:
  """Returns whether this is one of several processes."""
  return jax.distributed.is_initialized() and count() > 1


def index() -> int:
  """Returns which process this is, as `join` was told; devices untouched."""
  return state().process_id


def is_first() -> bool:
  """Returns whether this process is the first, or the only one."""
  return not several() or index() == 0


def count() -> int:
  """Returns how many processes there are, as `join` was told."""
  return state().num_processes


def post(key: str, value: str) -> None:
  """Writes a value where every process can read it, over an older one.

  Raises:
    PeerError: when process 0 cannot be reached.
  """
  try:
    _client().key_value_set(_PREFIX + key, value, allow_overwrite=True)
  except jax.errors.JaxRuntimeError as error:
    raise unreachable(error) from error


def read(key: str) -> str | None:
  """Returns what has been posted under a key; None if nothing has, yet.

  Raises:
    PeerError: when process 0 cannot be reached.
  """
  try:
    return _client().key_value_try_get(_PREFIX + key)
  except jax.errors.JaxRuntimeError as error:
    if "NOT_FOUND" in str(error):
      return None
    raise unreachable(error) from error


def read_all(folder: str) -> dict[str, str]:
  """Returns what has been posted under FOLDER/NAME, by NAME.

  Raises:
    PeerError: when process 0 cannot be reached.
  """
  start = f"{_PREFIX}{folder}/"
  try:
    found = _client().key_value_dir_get(start)
  except jax.errors.JaxRuntimeError as error:
    raise unreachable(error) from error
  return {key.removeprefix(start): value for key, value in found}


def forget(key: str) -> None:
  """Removes what was posted under a key, and all keys below it."""
  try:
    _client().key_value_delete(_PREFIX + key)
  except jax.errors.JaxRuntimeError as error:
    raise unreachable(error) from error


def wait(name: str, seconds: float) -> None:
  """Waits until all processes wait under this name.

  Raises:
    jax.errors.JaxRuntimeError: DEADLINE_EXCEEDED when some do not come.
  """
  _client().wait_at_barrier(_PREFIX + name, round(1000 * seconds))


def unreachable(error: Exception) -> errors.PeerError:
  """Returns what to say when the store does not answer, or a barrier fails."""
  reason = str(error).partition("\n")[0].rstrip(".")
  return errors.PeerError(
    "process 0, through which all processes speak, does not answer, or another "
    f"one has ended ({reason}): see their logs; the same command, started "
    "again on all hosts, goes on."
  )


def state() -> Any:
  """Returns what JAX knows of its processes.

  There is no public way to the client; Orbax and others take this one.
  """
  try:
    from jax._src.distributed import global_state
  except ImportError as error:
    raise _moved() from error
  return global_state


def clusters() -> list[Any]:
  """Returns the kinds of clusters that JAX knows, in its order of asking."""
  try:
    from jax._src.clusters import ClusterEnv
  except ImportError:
    return []  # Addresses have to be given then.
  kinds = ClusterEnv._cluster_types
  return [kind for kind in kinds if not kind.opt_in_only_method]


def _moved() -> errors.UserError:
  return errors.UserError(
    f"jax {jax.__version__} keeps its distributed runtime where this van_jax "
    "does not find it; install the jax that pyproject.toml names, or run one "
    "process."
  )


def _client() -> Any:
  client = state().client
  if client is None:
    raise errors.UserError(
      "jax.distributed is not initialized, and this is asked of several "
      "processes; pass --distributed."
    )
  return client
