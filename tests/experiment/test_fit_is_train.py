"""fit is train.py without a folder: the same updates, bit for bit."""

import jax
import numpy as np

import van_jax
from van_jax.experiment import sections

SECTIONS = (
  "augmentation",
  "preprocessing",
  "mixing",
  "erasing",
  "loss",
  "schedule",
  "optimizer",
  "ema",
)


def test_the_same_settings_give_the_same_bits(finished, tiny_config):
  workdir, scores = finished
  config = tiny_config()
  own = {name: config[name].to_dict() for name in SECTIONS}
  fitted = van_jax.fit(
    sections.build(config, "model"),
    sections.build(config, "data"),
    epochs=own["schedule"].pop("epochs"),
    learning_rate=own["schedule"].pop("learning_rate"),
    image_size=own["augmentation"].pop("image_size"),
    batch_size=config.batch_size,
    eval_batch_size=config.evaluation.batch_size,
    eval_every_epochs=config.evaluation.every_epochs,
    log_every_steps=config.logging.every_steps,
    seed=config.seed,
    progress=False,
    **own,
  )
  bundle = van_jax.load_bundle(workdir / "bundle")
  ours, theirs = (jax.tree.leaves(x.variables) for x in (fitted, bundle))
  assert len(ours) == len(theirs) > 50
  assert all(map(np.array_equal, ours, theirs))
  assert fitted.scores == scores
  assert fitted.preprocessing == bundle.preprocessing
  assert fitted.labels == bundle.labels
  history = van_jax.read_history(workdir)
  measured = {name for name in history if name.startswith(("train/", "eval/"))}
  assert measured == {n for n in fitted.history if "progress" not in n}
  for name in measured:
    np.testing.assert_array_equal(fitted.history[name], history[name])
