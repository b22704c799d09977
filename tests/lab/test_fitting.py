"""What comes of fit: it learns, says so, and hands back what one goes on with.

One small training serves most of these.
"""

import contextlib
import functools
import signal

import jax
import numpy as np
import pytest

import van_jax
from van_jax import errors
from van_jax.lab import progress_bar

# Four epochs of 8 steps.
HOW = {
  "evaluation": 0.2,
  "epochs": 4,
  "batch_size": 16,
  "learning_rate": 1e-2,
  "without": "all",
  "progress": False,
}


@pytest.fixture(scope="module")
def fitted(small, quarters):
  names = ("top left", "top right", "bottom left", "bottom right")
  return van_jax.fit(small, quarters, class_names=names, **HOW)


def test_it_learns_what_can_be_learned(fitted):
  loss = fitted.history["train/loss"].values
  assert loss[0] > 1  # Of four classes: log 4 is 1.39.
  assert loss[-8:].mean() < 0.3
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
  assert van_jax.predict(fitted.bundle(), images[0])[0] == found[0][0]
  assert bundle.source["recipe"]["optimizer"] == {"weight_decay": 0.0}
  with pytest.raises(errors.UserError, match="exists already"):
    fitted.save(tmp_path / "bundle")


def test_it_prints_scores_and_no_weights(fitted):
  text = repr(fitted)
  assert text.startswith("Fit: 4 epochs, 32 steps\n  last  top1 ")
  assert len(text) < 400


def test_the_same_seed_gives_the_same_weights(fitted, small, quarters):
  one, other = (
    van_jax.fit(small, quarters, **HOW | {"epochs": 0.5, "seed": seed})
    for seed in (0, 1)
  )
  again = van_jax.fit(small, quarters, **HOW | {"epochs": 0.5})
  same = jax.tree.map(np.array_equal, one.variables, again.variables)
  assert all(jax.tree.leaves(same))
  kernels = (f.variables["params"]["head"]["kernel"] for f in (one, other))
  assert not np.array_equal(*kernels)


def test_it_goes_on_from_variables_with_a_head_of_its_own(fitted, quarters):
  images, labels = quarters
  model = fitted.model.clone(num_classes=2)
  how = HOW | {"epochs": 1 / 8, "learning_rate": 1e-8}
  tuned = van_jax.fit(
    model, (images, labels // 2), variables=fitted.variables, **how
  )
  for name, old in fitted.variables["params"].items():
    if name != "head":  # One step of 1e-8, of AdamW's size 1.
      jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-7),
        *(old, tuned.variables["params"][name]),
      )
  assert tuned.variables["params"]["head"]["kernel"].shape == (8, 2)


def test_a_nan_ends_it_naming_step_and_remedy(fitted, small, quarters):
  broken = jax.tree.map(lambda x: np.full_like(x, np.nan), fitted.variables)
  with pytest.raises(
    errors.UserError, match=r"is nan at step 1; lower learning_rate=0\.01"
  ):
    van_jax.fit(small, quarters, variables=broken, **HOW)


def test_ctrl_c_returns_what_was_reached(small, quarters, monkeypatch, caplog):
  @contextlib.contextmanager
  def opened(total_steps, **_):
    def start(step):
      if step == 10:
        signal.raise_signal(signal.SIGINT)

    yield progress_bar.Bar(start, lambda scalars: None)

  monkeypatch.setattr(progress_bar, "opened", opened)
  stopped = van_jax.fit(small, quarters, **HOW | {"epochs": 500})
  # A thread hears of the signal: some steps later at most.
  assert 10 <= stopped.step < stopped.total_steps
  assert not stopped.is_whole
  assert stopped.scores == {
    name.removeprefix("eval/"): series.values[-1]
    for name, series in stopped.history.items()
    if name.startswith("eval/")
  }
  assert f"Stopped after step {stopped.step} of 4000" in caplog.text
  assert "stopped" in repr(stopped)
