"""A server on this machine, a cache of one's own, and no waiting."""

import os

import file_server
import pytest

from van_jax.released import transfer


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  """Makes waits short, and takes away what the machine's user has set."""
  monkeypatch.setattr(transfer, "_TIMEOUTS", (5.0, 0.3))
  monkeypatch.setattr(transfer, "_PAUSE_SECONDS", 0.001)
  for name in [*os.environ]:
    if name.lower().endswith("_proxy") or name.startswith("HF_"):
      monkeypatch.delenv(name)


@pytest.fixture
def server():
  """Yields a server that answers."""
  with file_server.running() as server:
    yield server


@pytest.fixture
def cache_dir(tmp_path, monkeypatch):
  """Returns the cache's folder, which the environment names."""
  folder = tmp_path / "cache"
  monkeypatch.setenv("VAN_JAX_CACHE", str(folder))
  return folder
