"""Settings under which all tests run: stricter than a user's."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

os.environ["JAX_PLATFORMS"] = "cpu"
# Tests compile a lot and compute little: LLVM's passes would be most of their
# time. XLA's own passes run as for a user.
os.environ["XLA_FLAGS"] = " ".join(
  [
    os.environ.get("XLA_FLAGS", ""),
    "--xla_force_host_platform_device_count=8",
    "--xla_backend_optimization_level=0",
  ]
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# One process runs a thousand programs: what each keeps would add up.
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "131072")  # glibc's own.

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
  """Returns a folder that all workers have."""
  folder = tmp_path_factory.getbasetemp()
  return folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(shared):
  """Shares what is compiled between tests, workers, and what they start."""
  jax.config.update("jax_compilation_cache_dir", str(shared / "xla"))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
  return shared / "xla"


@pytest.fixture(scope="session")
def digits_directory(shared) -> str:
  """Returns a TFDS directory that holds the digits; do not change it.

  Workers may prepare it at once: test_digits.py has that.
  """
  from van_jax import data

  directory = str(shared / "tfds")
  data.open_source(
    name="digits", directory=directory, train_split="train", eval_split=None
  )
  return directory


@pytest.hookimpl(tryfirst=True)  # Before the fixtures, which compile.
def pytest_runtest_setup(item):
  """Skips what needs libtpu, which is no dependency: it weighs 680 MB."""
  if item.get_closest_marker("tpu") and not importlib.util.find_spec("libtpu"):
    pytest.skip("needs the TPU compiler: make test-tpu (680 MB)")


@pytest.fixture(scope="session")
def compile_for_tpus():
  """Returns a function that runs a program which compiles for absent TPUs.

  In a process of its own: libtpu reads its settings once, when it is loaded.
  """
  from van_jax.parallel import absent, topologies

  def compile_for_tpus(program, *arguments):
    process = subprocess.run(
      [sys.executable, "-c", program, *map(str, arguments)],
      capture_output=True,
      text=True,
      env=os.environ | absent.environment(topologies.parse("v5e:1x1")),
    )
    assert process.returncode == 0, process.stderr[-4000:]
    return process.stdout

  return compile_for_tpus


@pytest.fixture
def key() -> jax.Array:
  """Returns a typed random key."""
  return jax.random.key(0)


@pytest.fixture(scope="session")
def play():
  """Returns a function that has processes play a role, and what came of it."""
  root = pathlib.Path(__file__).parent.parent

  def play(role, count, *arguments):
    command = [sys.executable, root / "tests/roles.py", role, str(count)]
    process = subprocess.run(
      [*command, *arguments],
      capture_output=True,
      text=True,
      timeout=300,
      cwd=root,
      env=os.environ | {"XLA_FLAGS": ""},  # One device a process.
    )
    assert process.returncode == 0, process.stderr
    results = json.loads(process.stdout.splitlines()[-1])
    assert all(results), process.stderr
    return results

  return play
