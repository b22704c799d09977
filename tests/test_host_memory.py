"""Programs on CPUs keep their memory, and no others do."""

import ctypes
import json
import os
import pathlib
import platform
import subprocess
import sys
import unittest.mock
from typing import Any

import jax
import pytest

from van_jax import host_memory

ROOT = pathlib.Path(__file__).parent.parent
# Faults of ten runs, each of which has 64 MB for its result: 16,384 pages. The
# heap needs some runs to have room beside what is small.
PROGRAM = """
import re, resource
from van_jax.cli import command

def faults():
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def huge_kilobytes():
  with open("/proc/self/smaps_rollup") as file:
    return int(re.search(r"AnonHugePages: +([0-9]+) kB", file.read())[1])

def measure():
  import jax, jax.numpy as jnp
  run = jax.jit(lambda x: x + 1)
  x = jnp.zeros(1 << 24)
  for i in range(60):
    if i == 50:
      before = faults()
    run(x).block_until_ready()
  return {"faults": faults() - before, "huge_kilobytes": huge_kilobytes()}

command.run(measure)
"""
glibc_only = pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's"
)


@glibc_only
def test_a_program_on_cpus_pays_for_its_memory_once():
  names = [n for n in os.environ if n.startswith(("MALLOC_", "GLIBC_"))]
  environment = {k: v for k, v in os.environ.items() if k not in names}
  result = subprocess.run(
    [sys.executable, "-c", PROGRAM],
    capture_output=True,
    text=True,
    check=True,
    cwd=ROOT,
    env=environment | {"PYTHONPATH": str(ROOT)},
  )
  measured = json.loads(result.stdout.splitlines()[-1])
  # 163,840 of new results; threads fault now and then.
  assert measured["faults"] < 16_384
  if _has_huge_pages():
    # Of x, its successor, and the one before that, 64 MB each; half of that
    # where memory is too scattered for all of it.
    assert measured["huge_kilobytes"] > 96 * 1024


def _has_huge_pages():
  path = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
  return path.exists() and "[never]" not in path.read_text()


class Library:
  """Stands for the C library."""

  def __init__(self, start=4096):
    self.calls = []
    self.malloc = unittest.mock.Mock(return_value=start)
    self.madvise = unittest.mock.Mock(return_value=0)
    self.free = unittest.mock.Mock()

  def mallopt(self, name, value):
    """Takes every setting."""
    self.calls.append((name, value))
    return 1


@pytest.fixture
def library(monkeypatch):
  """Returns what is called in place of glibc, on a CPU, with no settings."""
  for name in list(os.environ):
    if name.startswith(("MALLOC_", "GLIBC_")):
      monkeypatch.delenv(name)
  library = Library()
  monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
  monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36", raising=False)
  return library


def test_malloc_is_told_to_map_nothing_and_to_keep_one_heap(library):
  assert host_memory.keep_on_cpus()
  assert sorted(library.calls) == [(-8, 1), (-4, 0), (-1, -1)]


def test_the_heap_to_come_lies_in_huge_pages(library):
  host_memory.keep_on_cpus()
  (length,) = library.malloc.call_args.args
  first, advised, advice = library.madvise.call_args.args
  assert first == 2 << 20
  assert advice == 14
  assert advised % (2 << 20) == 0
  assert length - (4 << 20) < advised < length
  library.free.assert_called_once_with(4096)


def test_where_addresses_are_rationed_the_heap_stays_as_it_is(library):
  library.malloc.return_value = None
  assert host_memory.keep_on_cpus()
  library.madvise.assert_not_called()
  library.free.assert_not_called()


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "1000"),
    ("GLIBC_TUNABLES", "glibc.pthread.rseq=0:glibc.malloc.hugetlb=1"),
  ],
)
def test_settings_of_the_user_are_left_alone(library, monkeypatch, name, value):
  monkeypatch.setenv(name, value)
  assert not host_memory.keep_on_cpus()
  assert library.calls == []


def test_tunables_of_something_else_are_no_settings_of_malloc(
  library, monkeypatch
):
  monkeypatch.setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
  assert host_memory.keep_on_cpus()


@pytest.mark.parametrize(
  ("platforms", "files", "kept"),
  [
    (None, ["/dev/nvidia0"], False),
    (None, [], True),
    ("cpu", ["/dev/nvidia0"], True),
    ("cuda,cpu", [], False),
  ],
)
def test_a_host_of_an_accelerator_is_left_alone(
  library, monkeypatch, platforms, files, kept
):
  config: Any = jax.config
  before = config.jax_platforms
  monkeypatch.setattr(
    host_memory.glob, "glob", lambda p: [f for f in files if f[:-1] in p]
  )
  jax.config.update("jax_platforms", platforms)
  try:
    assert host_memory.keep_on_cpus() == kept
  finally:
    jax.config.update("jax_platforms", before)
  assert bool(library.calls) == kept


@pytest.mark.parametrize("error", [ValueError, OSError, AttributeError])
def test_other_c_libraries_are_left_alone(library, monkeypatch, error):
  def unknown(name):
    raise error(name)

  monkeypatch.setattr(os, "confstr", unknown)
  assert not host_memory.keep_on_cpus()
