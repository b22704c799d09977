"""The modules that docs/extending.md shows work as they stand there."""

import importlib
import pathlib
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import van_jax
from van_jax import experiment
from van_jax.analysis.complexity import complexity
from van_jax.training.recipe import losses, optimizers, schedules

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "extending.md"
BLOCK = re.compile(r"```python\n# (my_\w+)\.py\n(.*?)```", re.DOTALL)
MODULES: dict[str, str] = dict(BLOCK.findall(PAGE.read_text()))


@pytest.fixture(scope="module", autouse=True)
def written(tmp_path_factory):
  """Puts the modules into a folder of the path."""
  folder = tmp_path_factory.mktemp("mine")
  for name, text in MODULES.items():
    (folder / f"{name}.py").write_text(text)
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(folder))
    yield
  for name in MODULES:
    sys.modules.pop(name, None)


def test_each_is_one_file_of_under_30_lines():
  assert len(MODULES) == 5
  for name, text in MODULES.items():
    assert len(text.strip().splitlines()) < 30, name


def test_the_attention_is_counted():
  small = {"depths": (1, 1, 1, 1), "attention": "my_attention:PooledAttention"}
  with_pooled = complexity(van_jax.create_model("van_b0", **small))
  small["attention"] = {"name": "lka", "convs": ("pointwise",)}
  without = complexity(van_jax.create_model("van_b0", **small))
  channels = 32 + 64 + 160 + 256
  assert with_pooled.params - without.params == channels * (7 * 7 + 1)


def test_the_optimizer_is_optax_nadamw():
  rate = optax.constant_schedule(0.1)
  ours = optimizers.create_optimizer(
    schedule=rate,
    name="my_recipe:nadamw",
    weight_decay=0.05,
    options={"beta1": 0.8},
  )
  theirs = optax.nadamw(rate, b1=0.8, weight_decay=0.05)
  params = {"kernel": jnp.linspace(-1, 1, 6).reshape(2, 3)}
  slopes = {"kernel": jnp.linspace(1, -0.5, 6).reshape(2, 3)}
  found, expected = (
    jax.tree.leaves(optimizer.update(slopes, optimizer.init(params), params)[0])
    for optimizer in (ours, theirs)
  )
  # The same operations, but for the order of the rate and the sign.
  np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)


def test_the_loss_without_focus_is_the_cross_entropy():
  logits = jnp.linspace(-2, 2, 8).reshape(2, 4)
  targets = jnp.eye(4)[:2]
  plain = losses.create_loss()(logits, targets)
  loss = losses.create_loss(name="my_recipe:focal", options={"gamma": 0.0})
  np.testing.assert_allclose(loss(logits, targets), plain, rtol=1e-6)


def test_the_schedule_is_held_and_falls():
  schedule = schedules.create_schedule(
    name="my_recipe:inverse_root",
    learning_rate=1e-3,
    warmup_epochs=0.0,
    steps_per_epoch=10,
    options={"hold_epochs": 2.0},
  )
  rates = [float(schedule(step)) for step in (0, 20, 80)]
  np.testing.assert_allclose(rates, [1e-3, 1e-3, 5e-4], rtol=1e-6)


def test_all_of_them_train_together(tiny_config, tmp_path):
  rng = np.random.default_rng(0)
  for split, count in (("train", 32), ("val", 20)):
    (tmp_path / split).mkdir()
    for i in range(count):
      pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
      Image.fromarray(pixels).save(tmp_path / split / f"{i % 9}_{i}.jpg")
  config = tiny_config(
    **{
      "data.name": "my_data:open_ages",
      "data.directory": str(tmp_path),
      "data.train_split": "train",
      "data.eval_split": "val",
      "task.name": "my_task:regression",
      "model.num_classes": 1,
      "model.attention.name": "my_attention:PooledAttention",
      "optimizer.name": "my_recipe:nadamw",
      "schedule.name": "my_recipe:inverse_root",
      "schedule.epochs": 1.0,
      "augmentation.policy": "randaugment",
      "augmentation.operations": ("my_operations:DARKEN", "rotate"),
    }
  ).unlock()
  config.data.options.unit = 0.1
  workdir = str(tmp_path / "run")
  scores = experiment.train(config, workdir=workdir)
  assert set(scores) == {"error"}
  assert 0 <= scores["error"] < 10
  cls = importlib.import_module("my_attention").PooledAttention
  bundle = van_jax.load_bundle(f"{workdir}/bundle", attention=cls)
  assert bundle.task == "my_task:regression"
  gate = bundle.variables["params"]["block1_0"]["attn"]["spatial_gating_unit"]
  assert jax.tree.map(jnp.shape, gate["near"]["kernel"]) == (7, 7, 1, 8)
