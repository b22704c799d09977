"""van_jax's reading of accelerators' names, for a Python that has no JAX.

`van_jax/__init__.py` imports JAX, and one launches from where nothing is
installed; the files that read names need Python alone.
"""

import contextlib
import sys
import types
from collections.abc import Iterator

from launch import command_line


@contextlib.contextmanager
def _without_init_files(*packages: str) -> Iterator[None]:
  """Has modules of packages imported without what their __init__ imports.

  Where the packages are imported already nothing is changed. Otherwise all of
  it is forgotten at the end, so that a later import is a whole one.
  """
  before = set(sys.modules)
  for name in packages:
    if name not in sys.modules:
      bare = types.ModuleType(name)
      bare.__path__ = [str(command_line.ROOT.joinpath(*name.split(".")))]
      sys.modules[name] = bare
  added = set(packages) - before
  try:
    yield
  finally:
    for name in set(sys.modules) - before if added else ():
      if name.split(".")[0] in packages:
        del sys.modules[name]


with _without_init_files("van_jax", "van_jax.parallel"):
  from van_jax import errors as errors
  from van_jax.parallel.topologies import parse as parse
