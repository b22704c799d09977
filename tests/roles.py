"""Forks processes that join by `van_jax.parallel.processes`, for tests.

  python tests/roles.py FILE:FUNCTION COUNT ARGUMENT...

Each of COUNT processes calls FUNCTION(addresses, index, *arguments), with free
addresses for coordinators; what it returns or raises is printed as JSON, a list
by index. They are forked, as each interpreter would spend seconds on importing
JAX.
"""

import importlib.util
import json
import os
import socket
import sys
import time
import traceback

from van_jax import errors

_ADDRESSES = 6


def free_port():
  """Returns a port that nobody listens at."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    return free.getsockname()[1]


def play(function, addresses, index, arguments):
  """Returns what a role came to, and how long it took."""
  start = time.monotonic()
  try:
    result = {"value": function(addresses, index, *arguments)}
  except errors.UserError as error:
    result = {"error": str(error), "kind": type(error).__name__}
  return result | {"seconds": time.monotonic() - start}


def main():
  """Prints a list of results, one of each process."""
  name, count, *arguments = sys.argv[1:]
  file, _, function = name.partition(":")
  sys.path.insert(0, os.getcwd())
  spec = importlib.util.spec_from_file_location("roles_of_a_test", file)
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  role = getattr(module, function)
  addresses = [f"127.0.0.1:{free_port()}" for _ in range(_ADDRESSES)]
  held, let_go = os.pipe()
  ends = []
  for index in range(int(count)):
    reading, writing = os.pipe()
    if not os.fork():
      try:
        result = json.dumps(play(role, addresses, index, arguments))
        os.write(writing, result.encode())
        os.close(writing)
        os.close(let_go)
        os.read(held, 1)  # Whoever ends first takes the others along.
      except BaseException:
        traceback.print_exc()
      finally:
        os._exit(0)
    os.close(writing)
    ends.append(reading)
  results = []
  for end in ends:
    with os.fdopen(end) as file:
      results.append(json.loads(file.read() or "null"))
  os.close(let_go)
  print(json.dumps(results))


if __name__ == "__main__":
  main()
