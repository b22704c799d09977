"""A tiny run, in this process and as a user starts it."""

import importlib.util
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import jax
import orbax.checkpoint as ocp
import pytest

from van_jax import experiment

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
TINY = HERE / "tiny.py"


@pytest.fixture(scope="session", autouse=True)
def whole_arrays():
  """Makes Orbax save each array from one of the eight devices.

  By default each device gives an eighth: thousands of slices a checkpoint,
  every one traced anew under jax_debug_key_reuse, half of a tiny run's time.
  """
  types = ocp.type_handlers
  usual = types.get_type_handler(jax.Array)
  types.register_type_handler(
    jax.Array, types.ArrayHandler(use_replica_parallel=False), override=True
  )
  yield
  types.register_type_handler(jax.Array, usual, override=True)


@pytest.fixture(scope="session")
def data_directory(digits_directory):
  """Returns the directory of the data of the tiny runs."""
  return digits_directory


@pytest.fixture(scope="session")
def tiny_config(data_directory):
  """Returns a function that makes the tiny config, with dotted keys changed."""
  sys.path.insert(0, str(ROOT))  # As train.py has it.
  spec = importlib.util.spec_from_file_location("tiny", TINY)
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)

  def create(**changes):
    config = module.get_config()
    config.data.directory = data_directory
    config.compilation_cache = ""  # The tests have one of their own.
    config.update_from_flattened_dict(changes)
    return config.lock()

  return create


@pytest.fixture(scope="session")
def finished(tiny_config, tmp_path_factory):
  """Returns the workdir and the scores of a tiny run; do not change it."""
  workdir = tmp_path_factory.mktemp("finished") / "run"
  return workdir, experiment.train(tiny_config(), workdir=str(workdir))


@pytest.fixture
def run_copy(finished, tmp_path):
  """Returns a copy of the workdir of a tiny run, to change."""
  return shutil.copytree(finished[0], tmp_path / "copy")


@pytest.fixture(scope="session")
def environment(compilation_cache):
  """Returns the environment of scripts: one device, quick compilation."""
  return os.environ | {
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "JAX_COMPILATION_CACHE_DIR": str(compilation_cache),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
  }


@pytest.fixture(scope="session")
def start(environment, data_directory):
  """Returns a function that starts a script on the tiny config.

  It takes what the script is given, a file for its log, and variables.
  """

  def start(script, *arguments, log=subprocess.PIPE, **variables):
    command = [sys.executable, *str(script).split(), f"--config={TINY}"]
    command += [f"--config.data.directory={data_directory}"]
    command += ["--config.compilation_cache="]
    return subprocess.Popen(
      [*command, *arguments],
      stdout=subprocess.PIPE,
      stderr=log,
      text=True,
      cwd=ROOT,
      env=environment | variables,
    )

  return start


@pytest.fixture(scope="session")
def run(start):
  """Returns a function that runs a script to its end, and what it said."""

  def run(script, *arguments, **variables):
    process = start(script, *arguments, **variables)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(
      process.args, process.returncode, out, err
    )

  return run


@pytest.fixture(scope="session")
def run_two(start):
  """Returns a function that runs a script as two processes."""

  def run_two(script, *arguments):
    with socket.socket() as free:
      free.bind(("127.0.0.1", 0))
      port = free.getsockname()[1]
    processes = [
      start(
        script,
        "--distributed",
        *arguments,
        JAX_COORDINATOR_ADDRESS=f"127.0.0.1:{port}",
        JAX_NUM_PROCESSES="2",
        JAX_PROCESS_ID=str(i),
      )
      for i in range(2)
    ]
    try:
      outputs = [process.communicate(timeout=300) for process in processes]
    finally:
      for process in processes:
        process.kill()
    for process, (_, err) in zip(processes, outputs, strict=True):
      assert process.returncode == 0, err
    return outputs

  return run_two


@pytest.fixture(scope="session")
def last_json():
  """Returns a function that reads the JSON of a script's last line."""

  def read(process):
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])

  return read


@pytest.fixture(scope="session")
def root():
  """Returns the folder of the scripts."""
  return ROOT
