"""What comes of fit: it learns, says so, and hands back what one goes on with.

One small training serves most of these.
"""

import contextlib
import dataclasses
import signal

import jax
import numpy as np
import pytest

import van_jax
from van_jax import errors
from van_jax.evaluation import evaluator
from van_jax.lab import progress_bar
from van_jax.training import loop


def test_it_learns_what_can_be_learned(fitted):
  loss = fitted.history["train/loss"].values
  assert loss[0] > 1  # Of four classes: log 4 is 1.39.
  assert loss[-8:].mean() < 0.6
  assert fitted.scores["count"] == 32
  assert fitted.scores["top1"] > 0.9  # Chance is 0.25.
  assert fitted.is_whole
  assert fitted.step == fitted.total_steps == 32


def test_its_history_is_called_as_a_runs(fitted):
  own = {"loss", "top1", "grad_norm", "learning_rate"}
  assert {f"train/{name}" for name in own} <= set(fitted.history)
  assert {"progress/images_per_second", "eval/top1"} <= set(fitted.history)
  assert fitted.history["train/loss"].steps.tolist() == list(range(1, 33))
  assert fitted.history["eval/top1"].steps.tolist() == [8, 16, 24, 32]
  np.testing.assert_array_equal(fitted.history.epochs("eval/top1"), range(1, 5))
  assert fitted.history["eval/loss"].values[-1] == fitted.scores["loss"]


def test_the_best_scores_have_their_epoch(fitted):
  top1 = fitted.history["eval/top1"].values
  assert fitted.best["top1"] == top1.max()
  assert fitted.best["epoch"] == 1 + np.argmax(top1)  # The first of equals.


def test_what_it_saves_predicts_with_names_and_preprocessing(
  fitted, quarters, tmp_path
):
  fitted.save(tmp_path / "bundle")
  bundle = van_jax.load_bundle(tmp_path / "bundle")
  images, labels = quarters
  found = van_jax.predict(bundle, list(images[:8]))
  names = ("top left", "top right", "bottom left", "bottom right")
  assert [p[0].label for p in found] == [names[i] for i in labels[:8]]
  # Of `small`, which convolves by XLA; what is loaded, as is best for the CPU.
  before = van_jax.predict(fitted.bundle(), images[0])[0]
  assert before == found[0][0]._replace(probability=before.probability)
  assert before.probability == pytest.approx(found[0][0].probability, rel=1e-5)
  assert bundle.source["recipe"]["optimizer"] == {"weight_decay": 0.0}
  with pytest.raises(errors.UserError, match="exists already"):
    fitted.save(tmp_path / "bundle")


def test_what_is_no_van_has_no_bundle(fitted, stranger, tmp_path):
  other = dataclasses.replace(fitted, model=stranger)
  said = "model is a Stranger, and bundles are of models.VAN"
  with pytest.raises(errors.UserError, match=said):
    other.bundle()
  with pytest.raises(errors.UserError, match=said):
    other.save(tmp_path / "x")
  assert not list(tmp_path.iterdir())


def test_it_prints_scores_and_no_weights(fitted):
  text = repr(fitted)
  assert text.startswith("Fit: 4 epochs, 32 steps\n  last  top1 ")
  assert len(text) < 400


def test_the_same_seed_gives_the_same_weights(stranger, quarters, how):
  short = how | {"epochs": 0.5}
  one, again, other = (
    van_jax.fit(stranger, quarters, **short, seed=seed).variables
    for seed in (0, 0, 1)
  )
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, one, again)))
  kernels = (x["params"]["head"]["kernel"] for x in (one, other))
  assert not np.array_equal(*kernels)


def test_it_starts_from_variables_with_a_head_of_its_own(
  stranger, quarters, how
):
  images, labels = quarters
  given = {
    "Dense_0": {"kernel": np.eye(4, 8, dtype=np.float32), "bias": np.ones(8)},
    "head": {"kernel": np.ones((8, 4)), "bias": np.ones(4)},
  }
  tuned = van_jax.fit(
    stranger.clone(classes=2),
    (images, labels // 2),
    variables={"params": given},
    **how | {"epochs": 1 / 8, "learning_rate": 1e-5},
  )
  # One step, of AdamW's size 1.
  kernel = tuned.variables["params"]["Dense_0"]["kernel"]
  np.testing.assert_allclose(kernel, np.eye(4, 8), atol=2e-5)
  head = tuned.variables["params"]["head"]["kernel"]
  assert head.shape == (8, 2)
  assert np.std(head) > 0.1


def test_a_nan_ends_it_naming_step_and_remedy(stranger, quarters, how):
  broken = {
    "Dense_0": {"kernel": np.full((4, 8), np.nan), "bias": np.ones(8)},
    "head": {"kernel": np.ones((8, 4)), "bias": np.ones(4)},
  }
  with pytest.raises(
    errors.UserError, match=r"is nan at step 1; lower learning_rate=0\.01"
  ):
    van_jax.fit(stranger, quarters, variables={"params": broken}, **how)


@pytest.fixture
def heard():
  """Lets Ctrl-C be heard, which background jobs are started to ignore."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_returns_what_was_reached(
  stranger, quarters, how, monkeypatch, caplog
):
  @contextlib.contextmanager
  def opened(total_steps, **_):
    def start(step):
      if step == 10:
        signal.raise_signal(signal.SIGINT)

    yield progress_bar.Bar(start, lambda scalars: None)

  monkeypatch.setattr(progress_bar, "opened", opened)
  stopped = van_jax.fit(stranger, quarters, **how | {"epochs": 50})
  # A thread hears of the signal: some steps later at most.
  assert 10 <= stopped.step < stopped.total_steps
  assert not stopped.is_whole
  assert stopped.scores == {
    name.removeprefix("eval/"): series.values[-1]
    for name, series in stopped.history.items()
    if name.startswith("eval/")
  }
  assert f"Stopped after step {stopped.step} of 400" in caplog.text
  assert "stopped" in repr(stopped)


def test_ctrl_c_in_the_last_evaluation_leaves_the_fit_unfinished(
  stranger, quarters, how, monkeypatch
):
  def evaluate(*_):
    raise loop.InterruptedRunError(2)

  monkeypatch.setattr(evaluator, "evaluate", evaluate)
  stopped = van_jax.fit(stranger, quarters, **how | {"epochs": 0.25})
  assert stopped.step == stopped.total_steps == 2
  assert not stopped.is_whole
  assert "2 steps of 2, stopped" in repr(stopped)
