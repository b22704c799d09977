"""Checkpoints: what is kept, what comes back, and what no damage can lose."""

import contextlib
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from absl import logging as absl_logging

from van_jax import parallel
from van_jax.training import state as state_lib
from van_jax.training.run import checkpoint, kept, restoring

# So wide that a file of arrays is arrays, by far, and little index.
WIDTH = 3000
BY_TOP1: dict[str, Any] = {"best": "top1", "best_mode": "max"}


# When one of its concurrent reads fails, TensorStore's threads report to an
# event loop that Orbax has closed by then. Nothing comes of it.
pytestmark = pytest.mark.filterwarnings(
  "ignore::pytest.PytestUnraisableExceptionWarning"
)


def make_state(step=0, width=WIDTH) -> Any:
  """Returns a state with all its parts, all different at each step."""
  numbers = np.random.default_rng(step)

  def random(*shape):
    return jnp.asarray(numbers.normal(size=shape), jnp.float32)

  variables = {
    "params": {"head": {"kernel": random(4, width), "bias": random(width)}},
    "batch_stats": {"norm": {"mean": random(width)}},
  }
  optimizer = optax.adamw(1e-3)
  state: Any = state_lib.create_state(variables, optimizer, ema=True)
  gradients = jax.tree.map(lambda x: 0.1 * x, variables["params"])
  _, opt_state = optimizer.update(gradients, state.opt_state, state.params)
  state = state.replace(
    step=jnp.int32(step),
    opt_state=opt_state,
    ema=jax.tree.map(lambda x: 0.9 * x, variables),
  )
  return jax.device_put(state, parallel.replicated(parallel.create_mesh()))


@contextlib.contextmanager
def open_checkpoints(folder, **kept):
  options = {"keep_last": 5, "keep_best": 0, **BY_TOP1, **kept}
  with contextlib.closing(
    checkpoint.Checkpointer(folder, **options)
  ) as checkpointer:
    yield checkpointer


def save_all(folder, steps, **kept):
  """Saves states at steps; with a dict, with these top-1 scores."""
  with open_checkpoints(folder, **kept) as checkpointer:
    for step in steps:
      scores = {"top1": steps[step]} if isinstance(steps, dict) else None
      checkpointer.save(step, make_state(step), scores)


def restore_latest(folder):
  with open_checkpoints(folder) as checkpointer:
    return checkpointer.restore_latest(make_state())


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory):
  folder = tmp_path_factory.mktemp("saved") / "checkpoints"
  save_all(folder, [1, 2, 3])
  return folder


@pytest.fixture
def folder(saved_once, tmp_path):
  """Returns a folder with the checkpoints of steps 1, 2 and 3, to damage."""
  return shutil.copytree(saved_once, tmp_path / "checkpoints")


def array_file(folder, step):
  """Returns the largest file of a checkpoint: its arrays."""
  files = [f for f in (folder / str(step) / "state").rglob("*") if f.is_file()]
  return max(files, key=lambda f: f.stat().st_size)


def assert_equal(state, step):
  """Compares with the state that was saved at a step, bit for bit."""
  expected = make_state(step)
  assert jax.tree.structure(state) == jax.tree.structure(expected)
  jax.tree.map(np.testing.assert_array_equal, state, expected)


def test_there_is_nothing_to_restore_at_first(tmp_path):
  assert restore_latest(tmp_path / "new") is None


def test_every_part_comes_back_bit_for_bit(folder):
  assert_equal(restore_latest(folder), 3)


def test_an_older_step_can_be_asked_for(folder):
  assert_equal(restoring.restore(folder, 2, make_state()), 2)


def test_restored_arrays_have_the_shardings_asked_for(folder):
  one = jax.sharding.SingleDeviceSharding(jax.devices()[3])
  like = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=one),
    make_state(),
  )
  restored = restoring.restore(folder, 3, like)
  assert {x.sharding for x in jax.tree.leaves(restored)} == {one}


def test_the_last_are_kept(tmp_path):
  save_all(tmp_path, range(1, 6), keep_last=2)
  assert kept.steps(tmp_path) == [4, 5]


def test_the_best_are_kept_besides(tmp_path):
  scores = {1: 0.3, 2: 0.8, 3: 0.5, 4: 0.7, 5: 0.1}
  save_all(tmp_path, scores, keep_last=1, keep_best=2)
  assert kept.steps(tmp_path) == [2, 4, 5]


def test_unscored_checkpoints_are_not_among_the_best(tmp_path):
  with open_checkpoints(tmp_path, keep_last=1, keep_best=1) as checkpointer:
    checkpointer.save(1, make_state(1), {"top1": 0.1})
    for step in (2, 3):
      checkpointer.save(step, make_state(step), None)
  assert kept.steps(tmp_path) == [1, 3]


def test_the_best_of_an_earlier_process_is_still_the_best(tmp_path):
  save_all(tmp_path, {1: 0.9, 2: 0.2}, keep_last=1, keep_best=1)
  save_all(tmp_path, {3: 0.3, 4: 0.4}, keep_last=1, keep_best=1)
  assert kept.steps(tmp_path) == [1, 4]
  assert kept.best_step(tmp_path, **BY_TOP1) == 1


def test_the_later_of_two_equally_good_is_the_best(tmp_path):
  save_all(tmp_path, {1: 0.5, 2: 0.5, 3: 0.4})
  assert kept.best_step(tmp_path, **BY_TOP1) == 2


def test_the_best_may_be_the_lowest_of_another_score(tmp_path):
  by_error = {"best": "error", "best_mode": "min"}
  errors = {1: 0.5, 2: 0.2, 3: float("nan"), 4: 0.9}
  with open_checkpoints(
    tmp_path, keep_last=1, keep_best=2, **by_error
  ) as checkpointer:
    for step, error in errors.items():
      checkpointer.save(step, make_state(step), {"error": error})
  assert kept.steps(tmp_path) == [1, 2, 4]
  assert kept.best_step(tmp_path, **by_error) == 2


def test_no_scores_are_no_best(folder):
  with pytest.raises(checkpoint.CheckpointError, match="--step=latest"):
    kept.best_step(folder, **BY_TOP1)


def test_a_missing_step_is_named_with_those_that_exist(folder):
  with pytest.raises(checkpoint.CheckpointError, match=r"7.*\[1, 2, 3\]"):
    restoring.restore(folder, 7, make_state())


@pytest.mark.parametrize(("last", "best"), [(0, 1), (1, -1)])
def test_keeping_nothing_is_refused(tmp_path, last, best):
  with pytest.raises(ValueError, match=rf"keep_last={last}.*keep_best={best}"):
    checkpoint.Checkpointer(tmp_path, keep_last=last, keep_best=best, **BY_TOP1)


def truncate(folder, step):
  path = array_file(folder, step)
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])


def flip_a_bit(folder, step):
  path = array_file(folder, step)
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 4
  path.write_bytes(content)


def remove_metadata(folder, step):
  (folder / str(step) / "state" / "_METADATA").unlink()


def remove_fingerprint(folder, step):
  shutil.rmtree(folder / str(step) / "fingerprint")


def empty(folder, step):
  shutil.rmtree(folder / str(step))
  (folder / str(step)).mkdir()


def null_fingerprint(folder, step):
  (folder / str(step) / "fingerprint" / "metadata").write_text("null")


def number_for_a_description(folder, step):
  (folder / str(step) / "_CHECKPOINT_METADATA").write_text("5")


DAMAGES = [
  truncate,
  flip_a_bit,
  remove_metadata,
  remove_fingerprint,
  empty,
  null_fingerprint,
  number_for_a_description,
]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"top1": 0.75}'])
def test_damaged_scores_are_done_without(tmp_path, text):
  save_all(tmp_path, {1: 0.5, 2: 0.25}, keep_best=1)
  (tmp_path / "2" / "metrics" / "metrics").write_text(text)
  assert kept.best_step(tmp_path, **BY_TOP1) == 1
  assert_equal(restore_latest(tmp_path), 2)
  assert (tmp_path / "damaged-scores-2").is_dir()


def test_scores_that_come_later_are_kept_as_those_that_came_with_it(tmp_path):
  save_all(tmp_path / "with", {1: 0.5})
  with open_checkpoints(tmp_path / "later") as checkpointer:
    checkpointer.save(1, make_state(1), None)
    checkpointer.wait()
    checkpointer.add_scores(1, {"top1": 0.5})
    assert checkpointer.scores(1) == {"top1": 0.5}
  for item in ("metrics/metrics", "fingerprint/metadata"):
    with_it, later = tmp_path / "with/1" / item, tmp_path / "later/1" / item
    assert later.read_text() == with_it.read_text()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_falls_back_to_the_one_before(folder, damage):
  damage(folder, 3)
  assert_equal(restore_latest(folder), 2)


def test_a_damaged_checkpoint_is_set_aside_with_a_warning(folder, monkeypatch):
  warnings = []
  monkeypatch.setattr(
    absl_logging, "warning", lambda text, *args: warnings.append(text % args)
  )
  flip_a_bit(folder, 3)
  damaged = array_file(folder, 3).read_bytes()
  restore_latest(folder)
  assert len(warnings) == 1
  assert f"{folder}/3 is damaged" in warnings[0]
  assert "damaged-3; falling back" in warnings[0]
  assert array_file(folder, "damaged-3").read_bytes() == damaged
  assert kept.steps(folder) == [1, 2]


def test_a_step_that_was_damaged_can_be_saved_and_damaged_again(folder):
  flip_a_bit(folder, 3)
  with open_checkpoints(folder) as checkpointer:
    assert_equal(checkpointer.restore_latest(make_state()), 2)
    checkpointer.save(3, make_state(3))
  assert_equal(restore_latest(folder), 3)
  truncate(folder, 3)
  assert_equal(restore_latest(folder), 2)
  assert (folder / "damaged-3").exists()
  assert (folder / "damaged-3.1").exists()


def test_two_damaged_ones_fall_back_by_two(folder):
  truncate(folder, 3)
  remove_metadata(folder, 2)
  assert_equal(restore_latest(folder), 1)


def test_nothing_readable_is_an_error_and_not_a_fresh_start(folder):
  for step in (1, 2, 3):
    truncate(folder, step)
  with pytest.raises(checkpoint.CheckpointError, match=r"None.*\[1, 2, 3\]"):
    restore_latest(folder)


@pytest.mark.parametrize("damage", DAMAGES)
def test_reading_a_damaged_step_leaves_it_where_it_is(folder, damage):
  damage(folder, 3)
  with pytest.raises(checkpoint.CheckpointError, match="is damaged"):
    restoring.restore(folder, 3, make_state())
  assert kept.steps(folder) == [1, 2, 3]


def test_another_architecture_is_an_error_that_lists_names(folder):
  with (
    open_checkpoints(folder) as checkpointer,
    pytest.raises(ValueError, match="does not fit") as info,
  ):
    checkpointer.restore_latest(make_state(width=7))
  for part in (
    "params/head/kernel: checkpoint (4, 3000), config (4, 7)",
    "batch_stats/norm/mean: checkpoint (3000,), config (7,)",
    " more. Use the config",
  ):
    assert part in str(info.value)
  assert kept.steps(folder) == [1, 2, 3]


def test_a_part_that_is_not_there_is_listed(folder):
  like = make_state().replace(ema=None)
  with pytest.raises(ValueError, match=r"ema/params/head/bias: .* config None"):
    restoring.restore(folder, 3, like)


def test_an_unfinished_save_is_not_a_checkpoint(folder):
  """As a process that was killed while it wrote leaves it behind."""
  unfinished = folder / "4.orbax-checkpoint-tmp"
  shutil.copytree(folder / "3", unfinished)
  with open_checkpoints(folder) as checkpointer:
    assert kept.steps(folder) == [1, 2, 3]
    assert_equal(checkpointer.restore_latest(make_state()), 3)
    checkpointer.save(4, make_state(4))
  assert_equal(restore_latest(folder), 4)


def test_close_reports_a_save_that_failed_in_the_background(
  folder, monkeypatch
):
  checkpointer = checkpoint.Checkpointer(
    folder, keep_last=5, keep_best=0, **BY_TOP1
  )

  def fail(*args, **kwargs):
    raise OSError(28, "No space left on device")

  # The last step of a save, done in its background thread.
  monkeypatch.setattr(pathlib.PosixPath, "rename", fail)
  monkeypatch.setattr("os.rename", fail)
  monkeypatch.setattr("os.replace", fail)
  with pytest.raises(checkpoint.CheckpointError, match="No space left"):  # noqa: PT012
    checkpointer.save(4, make_state(4))
    checkpointer.close()
  monkeypatch.undo()
  assert kept.steps(folder) == [1, 2, 3]
  assert_equal(restore_latest(folder), 3)


def test_a_folder_that_was_removed_is_told_from_a_disk_that_refuses(
  folder, monkeypatch
):
  """Orbax makes the folder again, and what it says then has no word of it."""
  checkpointer = checkpoint.Checkpointer(
    folder, keep_last=5, keep_best=0, **BY_TOP1
  )

  def fail(*args, **kwargs):
    shutil.rmtree(folder)
    folder.mkdir()
    raise ValueError("No ArrayMetadata found for process_index=0.")

  monkeypatch.setattr(ocp.CheckpointManager, "save", fail)
  with pytest.raises(checkpoint.CheckpointError, match="was removed while"):
    checkpointer.save(4, make_state(4))
  checkpointer.close()


_FULL_DISK = """
import resource, signal, sys
sys.path[:0] = sys.argv[2:]
import test_checkpoint as t
from van_jax.training.run import checkpoint
state = t.make_state(4, width=40_000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # An error instead, EFBIG.
checkpointer = checkpoint.Checkpointer(
    sys.argv[1], keep_last=1, keep_best=0, **t.BY_TOP1
)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
  checkpointer.save(4, state)
  checkpointer.close()
except checkpoint.CheckpointError as error:
  print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX")
def test_a_disk_that_refuses_keeps_the_finished_checkpoints(folder):
  """No file may grow beyond 100 kB, and the state has 640 kB an array."""
  here = str(pathlib.Path(__file__).parent)
  process = subprocess.run(
    [sys.executable, "-c", _FULL_DISK, str(folder), here],
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert f"could not be written to {folder}" in process.stdout, process.stderr
  assert "Finished checkpoints are kept: steps [1, 2, 3]" in process.stdout
  assert_equal(restore_latest(folder), 3)
