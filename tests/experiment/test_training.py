"""A tiny run from end to end, in this process, on eight devices."""

import json
import math
import types
from typing import Any

import jax
import numpy as np
import pytest
from flax import traverse_util
from PIL import Image

import van_jax
from van_jax import experiment, parallel
from van_jax.experiment import running, stepping, training
from van_jax.training.run import metrics, phases as phases_lib

STEPS = 12


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
  """Returns a folder data set of another class count than the digits."""
  root = tmp_path_factory.mktemp("two")
  numbers = np.random.default_rng(0)
  for split in ("train", "val"):
    for name in ("dark", "light"):
      (root / split / name).mkdir(parents=True)
      for i in range(8):
        low = 128 if name == "light" else 0
        pixels = numbers.integers(low, low + 128, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / split / name / f"{i}.png")
  return str(root)


@pytest.fixture(scope="module")
def fine_tuned(finished, tiny_config, two_classes, tmp_path_factory):
  """Returns the bundles before and after a fine-tuning of a part."""
  bundle = finished[0] / "bundle"
  workdir = tmp_path_factory.mktemp("tuned") / "run"
  config = tiny_config(
    **{
      "pretrained_bundle": str(bundle),
      "model.num_classes": 2,
      "model.batch_norm_frozen": True,
      "data.name": "folder",
      "data.directory": two_classes,
      "data.train_split": "train",
      "data.eval_split": "val",
      "optimizer.frozen_patterns": (r"(patch_embed1|block1_.*)/.*",),
    }
  )
  experiment.train(config, workdir=str(workdir))
  return van_jax.load_bundle(bundle), van_jax.load_bundle(workdir / "bundle")


def flat(bundle) -> dict[str, Any]:
  return traverse_util.flatten_dict(bundle.variables, sep="/")


def test_a_run_returns_the_scores_of_the_whole_split(finished):
  scores = finished[1]
  assert scores["count"] == 42
  assert 0 <= scores["top1"] <= scores["top5"] <= 1
  assert set(scores) >= {"loss", "mean_per_class_accuracy"}


def test_a_run_leaves_a_bundle_that_says_what_it_is(finished):
  bundle = van_jax.load_bundle(finished[0] / "bundle")
  assert bundle.model.widths == (8, 8, 16, 16)
  assert bundle.labels == tuple("0123456789")
  assert bundle.preprocessing.image_size == 32
  assert bundle.source["step"] == STEPS
  assert bundle.source["config"]["batch_size"] == 16


@pytest.mark.parametrize(
  ("what", "step"), [("bundle", "latest"), (".", "latest"), (".", str(STEPS))]
)
def test_its_bundle_and_its_workdir_score_the_same(
  finished, tiny_config, what, step
):
  workdir, scores = finished
  again = experiment.evaluate(
    tiny_config(), checkpoint=str(workdir / what), step=step
  )
  assert again == scores


def test_raw_and_averaged_weights_score_differently(finished, tiny_config):
  workdir, scores = finished
  raw = experiment.evaluate(
    tiny_config(**{"evaluation.averaged_weights": False}),
    checkpoint=str(workdir),
  )
  assert raw["loss"] != scores["loss"]


def test_one_device_scores_what_eight_do(finished, tiny_config, monkeypatch):
  workdir, scores = finished
  one = parallel.create_mesh(jax.devices()[:1])
  monkeypatch.setattr(parallel, "create_mesh", lambda fsdp: one)
  alone = experiment.evaluate(tiny_config(), checkpoint=str(workdir / "bundle"))
  # Logits of order 1 whose sums are done in another order.
  assert alone.pop("loss") == pytest.approx(scores["loss"], rel=1e-5)
  assert alone == {k: v for k, v in scores.items() if k != "loss"}


def test_an_overridden_preprocessing_is_reported(finished, tiny_config, caplog):
  caplog.set_level("INFO", logger="absl")
  changed = "preprocessing.resize_size"
  experiment.evaluate(
    tiny_config(**{changed: 40}),
    checkpoint=str(finished[0] / "bundle"),
    overridden={changed: 40, "batch_size": 16},
  )
  assert (
    "preprocessing.resize_size=40 overrides the weights' own" in caplog.text
  )
  assert "resize_size=40" in caplog.text.split("Preprocessing: ")[1]


def test_an_overridden_preprocessing_counts(finished, tiny_config):
  workdir, scores = finished
  again = experiment.evaluate(
    tiny_config(),
    checkpoint=str(workdir / "bundle"),
    overridden={"preprocessing.resize_size": 48},  # Crops the middle.
  )
  assert again["loss"] != scores["loss"]


def test_what_the_config_says_of_preprocessing_does_not_count(
  finished, tiny_config
):
  workdir, scores = finished
  again = experiment.evaluate(
    tiny_config(**{"preprocessing.resize_size": 48}),
    checkpoint=str(workdir / "bundle"),
  )
  assert again == scores


def test_all_scores_can_be_written_to_a_file(finished, tiny_config, tmp_path):
  output = tmp_path / "new" / "scores.json"
  experiment.evaluate(
    tiny_config(), checkpoint=str(finished[0]), output=str(output)
  )
  written = json.loads(output.read_text())
  assert written["count"] == 42
  assert written["class_names"] == list("0123456789")
  assert any(isinstance(x, list) and len(x) == 10 for x in written.values())


def test_the_best_checkpoint_can_be_asked_for(finished, tiny_config):
  workdir, _ = finished
  best = experiment.evaluate(
    tiny_config(), checkpoint=str(workdir), step="best"
  )
  assert best["count"] == 42


def test_fine_tuning_gives_another_class_count_a_fresh_head(fine_tuned):
  before, after = fine_tuned
  assert flat(before)["params/head/kernel"].shape == (16, 10)
  assert flat(after)["params/head/kernel"].shape == (16, 2)
  assert after.labels == ("dark", "light")


def test_frozen_parameters_stay_bit_for_bit(fine_tuned):
  before, after = map(flat, fine_tuned)
  names = [n for n in before if "/patch_embed1/" in n or "/block1_" in n]
  assert names
  for name in names:
    np.testing.assert_array_equal(after[name], before[name], err_msg=name)


def test_other_parameters_learn(fine_tuned):
  before, after = map(flat, fine_tuned)
  name = "params/block2_0/mlp/fc1/kernel"
  assert not np.array_equal(after[name], before[name])


def test_frozen_running_statistics_stay_bit_for_bit(fine_tuned):
  before, after = map(flat, fine_tuned)
  names = [name for name in before if name.startswith("batch_stats/")]
  assert names
  for name in names:
    np.testing.assert_array_equal(after[name], before[name], err_msg=name)


@pytest.fixture
def up_to_the_loop(tmp_path, monkeypatch):
  """Returns a function that begins a run, and what its loop is called with."""

  class LoopError(Exception):
    """Ends a run before its first step."""

  asked = {}

  def record(state, **arguments):
    asked.update(arguments)
    raise LoopError

  first = types.SimpleNamespace(step=0)
  monkeypatch.setattr(training.start, "first_state", lambda *a: first)
  monkeypatch.setattr(running.summary, "log", lambda *a: None)
  monkeypatch.setattr(stepping.loop, "run", record)

  def begin(config):
    with pytest.raises(LoopError):
      experiment.train(config, workdir=str(tmp_path / "run"))
    return asked

  return begin


@pytest.mark.parametrize("never", [None, math.inf])
def test_never_is_at_the_end_alone(never, tiny_config, up_to_the_loop):
  config = tiny_config(
    **{
      "evaluation.every_epochs": never,
      "checkpoint.every_epochs": never,
      "logging.every_steps": None,
    }
  )
  asked = up_to_the_loop(config)
  for name in ("eval", "save", "log"):
    assert asked[f"{name}_every_steps"] > asked["total_steps"] == 12


def test_what_imports_tensorflow_before_the_first_step_is_start_up(
  tiny_config, up_to_the_loop, monkeypatch
):
  phases, usual = phases_lib.Phases(), metrics.opened
  monkeypatch.setattr(training.phases_lib, "Phases", lambda: phases)
  opened_in = []

  def opened(*arguments, **options):
    opened_in.append(phases.standing().names)
    return usual(*arguments, **options)

  monkeypatch.setattr(metrics, "opened", opened)
  up_to_the_loop(tiny_config())
  assert opened_in == [(phases_lib.START_UP,)]
