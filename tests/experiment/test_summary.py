"""What a run says when it starts."""

from typing import Any

import jax
import numpy as np

from van_jax.experiment import parts, summary


class Source:
  """The sizes of a data set."""

  num_train, num_eval = 100, 42


class State:
  """What the summary reads of a state."""

  def __init__(self, params, step):
    self.params, self.step = params, np.int32(step)


def test_a_start_says_what_is_trained_on_what_and_where(tiny_config, tmp_path):
  config = tiny_config(
    **{"optimizer.frozen_patterns": (r"(patch_embed1|block1_.*|norm1)/.*",)}
  )
  source: Any = Source()
  recipe = parts.recipe(config, source)
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
  params = jax.eval_shape(
    lambda x: recipe.model.init(jax.random.key(0), x, train=False), image
  )["params"]
  state: Any = State(params, 4)
  text = "\n".join(summary.lines(config, recipe, source, state, tmp_path))
  total = sum(x.size for x in jax.tree.leaves(params))
  frozen = sum(
    x.size
    for name in ("patch_embed1", "block1_0", "norm1")
    for x in jax.tree.leaves(params[name])
  )
  assert f"{total - frozen:,} parameters trained and {frozen:,} frozen" in text
  assert " MFLOPs an image of 32 x 32" in text
  assert "digits, 100 images for training, 42 for evaluation" in text
  assert "Steps: 12 of 16 images, 6 an epoch; going on after step 4." in text
  assert f"Devices: {jax.device_count()} x cpu in 1 processes" in text
  assert f"Workdir: {tmp_path}." in text
