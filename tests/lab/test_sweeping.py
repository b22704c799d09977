"""Which trainings a sweep does, what it keeps of them, and its table.

But for one, trainings are played: their scores are a function of the seed.
"""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

import van_jax
from van_jax import errors
from van_jax.lab import running
from van_jax.lab.fitted import Fit
from van_jax.lab.history import Recorder

HOW: dict[str, Any] = {
  "evaluation": 0.2,
  "epochs": 2,
  "batch_size": 16,
  "progress": False,
}
SCORES = {0: 0.5, 1: 0.75, 2: 0.7}


@pytest.fixture
def played(monkeypatch):
  """Returns the titles of the trainings that were played, in order."""
  titles = []

  def play(plan, *, title, shown):
    assert shown is False
    titles.append(title)
    rate = plan.told["learning_rate"]
    if rate > 1:
      raise errors.UserError("loss is nan at step 3")
    recorder = Recorder()
    recorder.write(8, {"train/loss": rate})
    scores = {"top1": SCORES[plan.seed] + rate, "loss": 1 / (1 + plan.seed)}
    return Fit(
      model=plan.model,
      variables={},
      history=recorder.history(plan.epoch_steps),
      scores=scores,
      best={"epoch": 1.0, **scores},
      preprocessing=plan.preprocessing,
      labels=plan.source.class_names,
      step=plan.total_steps,
      total_steps=plan.total_steps,
      is_whole=True,
      told=plan.told,
    )

  monkeypatch.setattr(running, "run", play)
  return titles


@pytest.fixture
def variants(stranger):
  return {"lka": stranger, "lska": stranger.clone(width=9)}


def test_the_table_has_mean_and_spread_over_the_seeds(
  played, variants, quarters
):
  swept = van_jax.sweep(variants, quarters, seeds=3, **HOW)
  assert played == [
    f"{name}, seed {seed} ({3 * i + seed + 1} of 6)"
    for i, name in enumerate(variants)
    for seed in range(3)
  ]
  top1 = np.array(list(SCORES.values())) + 1e-3
  np.testing.assert_array_equal(swept.scores("lka"), top1)
  found = swept.summary()["lska"]
  assert found.mean == pytest.approx(np.mean(top1))
  assert found.spread == pytest.approx(np.std(top1, ddof=1))
  lines = str(swept).splitlines()
  assert (
    lines[0] == "| variant | runs | top1, mean | spread | loss, mean | spread |"
  )
  assert lines[2] == "| lka | 3 of 3 | 0.651 | 0.13229 | 0.61111 | 0.34694 |"
  assert "<td>0.651</td><td>0.13229</td>" in swept._repr_html_()


def test_variants_may_be_arguments_of_fit(played, stranger, quarters):
  low, high = np.linspace(0.01, 0.02, 2)  # NumPy's numbers are numbers.
  rates = {"low": {"learning_rate": low}, "high": {"learning_rate": high}}
  swept = van_jax.sweep(rates, quarters, model=stranger, seeds=(2, 0), **HOW)
  np.testing.assert_allclose(swept.scores("high"), [0.72, 0.52])
  assert [row.seed for row in swept.rows] == [2, 0, 2, 0]
  assert len(played) == 4


def test_what_is_finished_in_a_folder_is_not_trained_again(
  played, variants, quarters, tmp_path
):
  first = van_jax.sweep(
    {"lka": variants["lka"]}, quarters, seeds=2, folder=tmp_path, **HOW
  )
  played.clear()
  whole = van_jax.sweep(variants, quarters, seeds=2, folder=tmp_path, **HOW)
  assert [title.split(",")[0] for title in played] == ["lska", "lska"]
  assert whole.rows[0].scores == first.rows[0].scores
  assert whole.rows[1].best == first.rows[1].best
  series = whole.rows[0].history["train/loss"]
  assert (series.steps.tolist(), series.values.tolist()) == ([8], [1e-3])
  assert str(whole).splitlines()[2] == str(first).splitlines()[2]


def test_a_folder_of_other_settings_is_refused_before_anything_is_trained(
  played, variants, quarters, tmp_path
):
  van_jax.sweep(variants, quarters, seeds=1, folder=tmp_path, **HOW)
  played.clear()
  images, labels = quarters
  others = {
    "learning_rate was 0.001, now 0.01": (
      variants,
      quarters,
      {"learning_rate": 0.01},
    ),
    r"model was Stranger\(.*width = 8": (
      {**variants, "lka": variants["lska"]},
      quarters,
      {},
    ),
    r"data\.content was": (variants, (255 - images, labels), {}),
    r"mixing\.mixup_alpha was absent, now 0\.0": (
      variants,
      quarters,
      {"without": "mixup"},
    ),
    "total_steps was 16, now 24": (variants, quarters, {"epochs": 3}),
  }
  for said, (models, data, changes) in others.items():
    with pytest.raises(errors.UserError, match=said):
      van_jax.sweep(models, data, seeds=2, folder=tmp_path, **HOW | changes)
  assert played == []


def test_a_damaged_file_is_named(played, variants, quarters, tmp_path):
  van_jax.sweep(variants, quarters, seeds=1, folder=tmp_path, **HOW)
  path = tmp_path / "lska" / "seed0" / "fit.json"
  assert json.loads(path.read_text())["scores"]["top1"] == 0.501
  path.write_text("{")
  with pytest.raises(errors.UserError, match=r"lska/seed0/fit\.json cannot be"):
    van_jax.sweep(variants, quarters, seeds=1, folder=tmp_path, **HOW)


def test_a_training_that_fails_ends_no_other_and_is_named(
  played, stranger, quarters
):
  rates = {"wild": {"learning_rate": 10.0}, "tame": {"learning_rate": 0.1}}
  swept = van_jax.sweep(rates, quarters, model=stranger, seeds=2, **HOW)
  assert len(played) == 4
  assert "| wild | 0 of 2 | - | - | - | - |" in str(swept)
  assert "wild, seed 1: loss is nan at step 3" in str(swept)
  assert "wild, seed 1: loss is nan at step 3" in swept._repr_html_()
  assert len(swept.rows) == 2


def test_ctrl_c_ends_the_sweep_and_what_was_finished_stays(
  variants, quarters, tmp_path, played, monkeypatch
):
  play, calls = running.run, []

  def stopped_at_the_second(plan, **how):
    calls.append(plan.seed)
    fit = play(plan, **how)
    return dataclasses.replace(fit, is_whole=len(calls) != 2)

  monkeypatch.setattr(running, "run", stopped_at_the_second)
  swept = van_jax.sweep(variants, quarters, seeds=3, folder=tmp_path, **HOW)
  assert calls == [0, 1]
  assert [(row.variant, row.seed) for row in swept.rows] == [("lka", 0)]
  assert "| lka | 1 of 3 | 0.501 | - |" in str(swept)
  van_jax.sweep(variants, quarters, seeds=3, folder=tmp_path, **HOW)
  assert calls == [0, 1, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"evaluation": None}, "a sweep compares evaluations"),
    ({"seeds": 0}, "seeds=0 must be how many"),
    ({"seeds": (1, 1)}, "each once"),
    ({"seeds": None}, "seeds=None must be how many"),
    ({"seeds": "12"}, "seeds='12' must be how many"),
    ({"seeds": (0.5,)}, r"seed=0\.5 must be a whole number"),
    ({"epoch": 3}, r"lka: sweep\.epoch .*did you mean epochs"),
    ({"seed": 3}, r"lka: sweep\.seed is no option"),
    ({"batch_size": 12}, "lka: batch_size=12 must be"),
    ({"bundles": True}, "needs a folder"),
  ],
)
def test_what_cannot_be_is_refused_naming_the_variant(
  played, variants, quarters, changes, said
):
  with pytest.raises(errors.UserError, match=said):
    van_jax.sweep(variants, quarters, **HOW | changes)
  assert played == []


def test_variants_without_a_model_or_in_one_folder_are_refused(
  played, stranger, quarters, tmp_path
):
  with pytest.raises(errors.UserError, match="a: no model"):
    van_jax.sweep({"a": {"learning_rate": 1e-3}}, quarters, **HOW)
  with pytest.raises(errors.UserError, match="both have the folder a_b"):
    van_jax.sweep(
      {"a b": stranger, "a/b": stranger}, quarters, folder=tmp_path, **HOW
    )
  with pytest.raises(errors.UserError, match="not empty"):
    van_jax.sweep({}, quarters, **HOW)
  numbered: Any = {7: stranger}
  with pytest.raises(errors.UserError, match=r"7 is the name .* a text, '7'"):
    van_jax.sweep(numbered, quarters, **HOW)
  assert played == []


def test_no_name_of_a_variant_leaves_the_folder(
  played, stranger, quarters, tmp_path
):
  one: Any = np.int64(1)
  names = ("..", ".hidden", "a" * 300, "größe 3/2")
  van_jax.sweep(
    dict.fromkeys(names, stranger),
    quarters,
    seeds=one,
    folder=tmp_path / "in",
    **HOW,
  )
  assert len(played) == 4
  assert [path.name for path in tmp_path.iterdir()] == ["in"]
  found = sorted(path.name for path in (tmp_path / "in").iterdir())
  assert found == sorted(["_", "_hidden", "a" * 80, "größe_3_2"])


def test_an_unknown_score_is_refused(played, variants, quarters):
  swept = van_jax.sweep(variants, quarters, seeds=1, **HOW)
  with pytest.raises(errors.UserError, match="'top3' is none of top1, loss"):
    swept.scores("lka", "top3")
  with pytest.raises(errors.UserError, match="'lkaa' is none of lka, lska"):
    swept.scores("lkaa")


def test_a_sweep_trains_as_fit_does(stranger, quarters):
  how: dict[str, Any] = HOW | {"epochs": 0.25, "without": "all"}
  swept = van_jax.sweep({"one": stranger}, quarters, seeds=1, **how)
  assert swept.rows[0].scores == van_jax.fit(stranger, quarters, **how).scores


def test_what_no_bundle_can_hold_is_refused_before_it_is_trained(
  played, variants, quarters, tmp_path
):
  said = "^lka: bundles=True, and model is a Stranger, and bundles are of"
  with pytest.raises(errors.UserError, match=said):
    van_jax.sweep(variants, quarters, folder=tmp_path, bundles=True, **HOW)
  assert played == []


def test_bundles_are_left_where_they_are_asked_for(
  fitted, small, quarters, tmp_path, monkeypatch
):
  monkeypatch.setattr(running, "run", lambda plan, **how: fitted)
  how: dict[str, Any] = HOW | {"epochs": 4}
  van_jax.sweep(
    {"one": small}, quarters, seeds=1, folder=tmp_path, bundles=True, **how
  )
  bundle = van_jax.load_bundle(tmp_path / "one" / "seed0" / "bundle")
  assert bundle.labels == fitted.labels
  lska = {"one": small.clone(attention="lska")}
  with pytest.raises(
    errors.UserError, match=r"model\.attention\.name was lka, now lska"
  ):
    van_jax.sweep(lska, quarters, seeds=1, folder=tmp_path, **how)
