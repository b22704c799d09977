"""Dry runs by the TPU compiler, of a network small enough for the tests."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.tpu
ROOT = pathlib.Path(__file__).parents[3]
# Two stages' worth of compiling; the widths are such that fsdp has something to
# split, and the kernels of ours something to do.
SMALL = (
  "--config=configs/imagenet1k.py:van_b0",
  "--config.model.depths=(1,1,1,1)",
  "--config.model.widths=(32,64,128,128)",
  "--config.model.dtype=bfloat16",
  "--config.model.batch_norm_group_size=None",
  "--config.mixing.cutmix_alpha=0.0",
  "--config.erasing.probability=0.0",
  "--config.augmentation.image_size=32",
  "--config.preprocessing.image_size=32",
  "--config.batch_size=16",
  "--config.evaluation.batch_size=16",
)


def dry_run(*arguments):
  """Returns the process of a dry run of the small network."""
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  return subprocess.run(
    [sys.executable, "train.py", *SMALL, *arguments],
    capture_output=True,
    text=True,
    cwd=ROOT,
    env=environment,
  )


def found_by(process, status=0):
  """Returns the JSON of a dry run that ended with a status."""
  assert process.returncode == status, process.stderr[-4000:]
  return json.loads(process.stdout.splitlines()[-1])


def test_a_split_state_needs_no_more_room_for_the_step():
  whole = found_by(dry_run("--dry_run=v5e:4x4"))
  split = found_by(dry_run("--dry_run=v5e:4x4", "--config.mesh.fsdp=8"))
  # Of v5e's 16 GiB the system takes a quarter.
  assert whole["available_bytes"] == split["available_bytes"] == 15.75 * 2**30
  a, b = (run["training"]["temporary_bytes"] for run in (whole, split))
  # By shardings alone, activations would move and take four times as much.
  assert 0 < b <= 1.05 * a
  assert split["state_bytes"] < whole["state_bytes"] / 4
  kinds = {row["kind"] for row in split["training"]["collectives"]}
  assert "all-gather" in kinds
  # Gradients are summed in float32.
  for run in (whole, split):
    sums = [r for r in run["training"]["collectives"] if "reduce" in r["kind"]]
    gradients = sum(r["bytes"] for r in sums if "transpose(" in r["op_name"])
    low = sum(r["bytes"] for r in sums if r["dtype"] == "bf16")
    assert low <= 0.01 * gradients


def test_what_does_not_fit_is_refused_by_the_compiler():
  process = dry_run("--dry_run=v5e:1x1", "--config.batch_size=131072")
  found = found_by(process, status=1)
  assert process.stdout.startswith(
    "DOES NOT FIT: van_b0 with batch_size=131072"
  )
  training = found["training"]
  # XLA recomputes until little is over, and says both with two digits.
  assert training["required_bytes"] >= training["available_bytes"] > 0
  assert found["remedies"]
  flags = [remedy["flags"] for remedy in found["remedies"]]
  assert flags[0].startswith("--config.accumulation_steps=")
  for line in flags:
    assert f"  {line}\n" in process.stdout


def test_an_unknown_option_of_the_compiler_is_a_line():
  process = dry_run("--dry_run=v5e:1x1", "--config.xla_flags.xla_tpu_foo=1")
  assert process.returncode == 1
  assert "No such compile option: 'xla_tpu_foo'" in process.stderr
  assert "Traceback" not in process.stderr
