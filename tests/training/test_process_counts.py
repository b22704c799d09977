"""Two and four processes compute what one does with their devices."""

import os
import pathlib
import socket
import subprocess
import sys
from typing import Any

import numpy as np
import processes_worker as worker
import pytest

# float32 sums over devices in another order: 1e-7 of gradients of order 1, of
# which Adam with its epsilon of 1e-3 makes 1e-4 of the rate of 1e-2.
CLOSE: Any = {"rtol": 1e-5, "atol": 5e-6}


def start(count, folder):
  """Starts that many processes with eight devices in all."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  flags = f"--xla_force_host_platform_device_count={8 // count}"
  environment = os.environ | {
    "XLA_FLAGS": f"{flags} --xla_backend_optimization_level=0"
  }
  output = folder / f"{count}.npz"
  return output, [
    subprocess.Popen(
      [sys.executable, worker.__file__, f"{port}", f"{count}", f"{i}", output],
      env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
      stderr=subprocess.PIPE,
      text=True,
      cwd=pathlib.Path(worker.__file__).parent,
    )
    for i in range(count)
  ]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
  """Returns what 1, 2 and 4 processes computed, all on eight devices."""
  folder = tmp_path_factory.mktemp("processes")
  started = {count: start(count, folder) for count in (2, 4)}
  results = {1: worker.compute(fsdp=4), "whole": worker.compute(fsdp=1)}
  for count, (output, processes) in started.items():
    try:
      errors = [process.communicate(timeout=200)[1] for process in processes]
    finally:
      for process in processes:
        process.kill()
    for process, error in zip(processes, errors, strict=True):
      assert process.returncode == 0, error
    results[count] = dict(np.load(output))
  return results


@pytest.mark.parametrize("count", [2, 4, "whole"])
def test_losses_gradients_statistics_and_parameters_are_equal(found, count):
  assert found[count].keys() == found[1].keys()
  for name, expected in found[1].items():
    np.testing.assert_allclose(
      found[count][name], expected, **CLOSE, err_msg=name
    )


@pytest.mark.parametrize("count", [2, 4, "whole"])
def test_each_example_is_scored_once(found, count):
  assert found[count]["sums/count"] == 13
  for name, expected in found[1].items():
    if name.startswith("sums/"):
      # Sums over 13 examples of what is that close.
      np.testing.assert_allclose(found[count][name], expected, rtol=1e-4)
