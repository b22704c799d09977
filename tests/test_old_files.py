"""What older versions wrote still loads, scores and goes on.

The files in `fixtures/v1` were made by van_jax 0.1.0, at the commit that
`golden.json` names; `fixtures/make.py` tells how. They are used as their owner
would: by the scripts, with the config of those days.
"""

import json
import os
import pathlib
import subprocess
import sys
import tarfile
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

import van_jax

ROOT = pathlib.Path(__file__).parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
V1 = FIXTURES / "v1"
GOLDEN = json.loads((V1 / "golden.json").read_text())
LAST_STEP = 12


def unpack(name, folder):
  """Returns the path of a fixture's copy below a folder."""
  with tarfile.open(V1 / f"{name}.tar.xz") as archive:
    archive.extractall(folder, filter="data")
  return folder / name


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """Returns the workdir of a run that ended; do not change it."""
  return unpack("finished", tmp_path_factory.mktemp("finished"))


@pytest.fixture
def unusual(tmp_path):
  """Returns a bundle whose architecture has no field at its default."""
  return unpack("unusual", tmp_path)


@pytest.fixture(scope="module")
def script(digits_directory):
  """Returns a function that runs a script on the old config."""

  def script(*command):
    return subprocess.run(
      [
        sys.executable,
        *command,
        f"--config={V1 / 'run.py'}",
        f"--config.data.directory={digits_directory}",
      ],
      capture_output=True,
      text=True,
      cwd=ROOT,
      # As in `make.py`: what one device computes without LLVM's passes.
      env=os.environ
      | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
      | {"PYTHONPATH": str(ROOT)},
    )

  return script


def last_json(process):
  assert process.returncode == 0, process.stderr
  return json.loads(process.stdout.splitlines()[-1])


def last_state(workdir) -> Any:
  """Returns the arrays of a run's last checkpoint."""
  with ocp.StandardCheckpointer() as reader:
    return reader.restore(workdir / "checkpoints" / str(LAST_STEP) / "state")


@pytest.mark.parametrize("name", ["unusual", "finished/bundle"])
def test_an_old_bundle_gives_the_logits_that_it_gave(name, tmp_path):
  unpack(name.partition("/")[0], tmp_path)
  bundle = van_jax.load_bundle(tmp_path / name)
  draw = np.random.default_rng(1)
  images = draw.normal(size=(2, 32, 32, 3)).astype("float32")
  run = jax.jit(lambda v, x: bundle.model.apply(v, x, train=False))
  logits = run(bundle.variables, images)
  # Logits of 0.1 to 1.5; kernels for another CPU add up in another order.
  np.testing.assert_allclose(
    np.asarray(logits), GOLDEN["logits"][name], rtol=1e-4, atol=1e-5
  )


def test_an_old_bundle_keeps_what_it_says(unusual):
  bundle = van_jax.load_bundle(unusual)
  assert bundle.labels == ("ant", "bee", "çrane")
  assert bundle.preprocessing.interpolation == "lanczos"
  assert bundle.source == {"format": "a test"}


def test_an_old_workdir_scores_what_it_scored(finished, script):
  scores = last_json(script("eval.py", f"--checkpoint={finished}"))
  # Sums of 42 logarithms, in another order on another CPU.
  assert scores.pop("loss") == pytest.approx(GOLDEN["scores"]["loss"], rel=1e-5)
  assert scores == {k: v for k, v in GOLDEN["scores"].items() if k != "loss"}


def test_an_old_run_goes_on_to_the_same_end(finished, script, tmp_path):
  workdir = unpack("mid_run", tmp_path)
  # Images are mixed otherwise now, and its owner is told; all else is the same.
  program = str(FIXTURES / "mixing_of_v1.py")
  process = script(program, "train.py", f"--workdir={workdir}")
  assert "images are mixed as bytes in groups of a whole" in process.stderr
  assert "Going on from the checkpoint of step 4" in process.stderr
  scores = last_json(process)
  ours, theirs = last_state(workdir), last_state(finished)
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)
  # To the bit on one machine, but not on another model of CPU, whatever its
  # instructions: Adam divides a gradient by its size, and where one is next to
  # nothing, rounding decides its sign. Between two with AVX-512, and with
  # SSE4.2, parameters part by 9e-4 at most and 1e-6 in the mean; with moments
  # that were lost, by 1e-4 in the mean.
  for name in ("params", "ema"):
    assert mean_difference(ours[name], theirs[name]) < 1e-5
  assert scores.pop("loss") == pytest.approx(GOLDEN["scores"]["loss"], rel=1e-4)
  assert scores == {k: v for k, v in GOLDEN["scores"].items() if k != "loss"}


def mean_difference(ours, theirs):
  """Returns the mean over all numbers of two trees, in absolute value."""
  pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
  parts = [np.abs(np.asarray(x) - np.asarray(y)).ravel() for x, y in pairs]
  return np.concatenate(parts).mean()


def edit_version(path, version):
  """Says in a JSON file that its format is of that version."""
  fields = json.loads(path.read_text()) | {"format_version": version}
  path.write_text(json.dumps(fields))


def test_a_bundle_of_a_newer_version_is_refused_in_one_line(unusual):
  edit_version(unusual / "bundle.json", 99)
  with pytest.raises(ValueError, match="version 99") as info:
    van_jax.load_bundle(unusual)
  assert "\n" not in str(info.value)


def test_a_workdir_of_a_newer_version_is_refused_in_one_line(script, tmp_path):
  workdir = unpack("mid_run", tmp_path)
  edit_version(workdir / "config.json", 99)
  process = script("train.py", f"--workdir={workdir}")
  assert process.returncode == 1
  assert process.stdout == ""
  assert "holds a run of format version 99" in process.stderr.splitlines()[-1]
