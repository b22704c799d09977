"""Models by name, by fields, and as plain values."""

import json

import jax.numpy as jnp
import pytest

from van_jax import models


def test_every_name_makes_its_model():
  assert models.list_models()[0] == "van_b0"
  for name in models.list_models():
    model = models.create_model(name, num_classes=3)
    assert model.widths == models.VARIANTS[name].widths
    assert model.num_classes == 3


def test_overrides_accept_what_configs_hold():
  model = models.create_model("van_b0", dtype="bfloat16", widths=[8, 8, 8, 16])
  assert model.dtype == jnp.bfloat16
  assert model.widths == (8, 8, 8, 16)


def test_architecture_survives_json():
  model = models.VAN(
    (8, 8, 8, 16), (1, 2, 3, 1), (2, 2, 3, 4), 7, layer_scale_init=None,
    attention={"name": "msca", "kernel_sizes": (3, 5)}, layer_norm_epsilon=1e-5,
  )  # fmt: skip
  fields = json.loads(json.dumps(models.architecture(model)))
  assert models.from_architecture(fields) == model


def test_architecture_takes_overrides_of_how_to_run():
  fields = models.architecture(models.create_model("van_b1"))
  model = models.from_architecture(fields, dtype="bfloat16", remat=True)
  assert model.remat
  assert model.dtype == jnp.bfloat16
  assert model.depths == (2, 2, 4, 2)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"name": "van_bo"}, "'van_bo'.*there are van_b"),
    ({"drop_path": 0.1}, r"drop_path=0.1.*there are drop_path_rate, drop"),
    ({"widths": (8, 16)}, r"widths=\(8, 16\) must be four"),
    ({"depths": (1, 0, 1, 1)}, r"depths=\(1, 0, 1, 1\) must be four positive"),
    (
      {"implementation": "fft"},
      "'fft'.*auto, grouped, numba_cpu, pallas_gpu, pallas_tpu, shifted_sum",
    ),
    ({"drop_path_rate": 1.0}, "drop_path_rate=1.0.*below 1"),
    ({"num_classes": -1}, "num_classes=-1 must be at least 0"),
    ({"batch_norm_group_size": 0}, "batch_norm_group_size=0.*or None"),
    ({"dtype": "int8"}, "dtype=int8 must be floating"),
    ({"dtype": "float17"}, "dtype='float17'.*float32 or bfloat16"),
  ],
)
def test_bad_fields_are_named(arguments, message):
  arguments = {"name": "van_b0"} | arguments
  with pytest.raises(ValueError, match=message):
    models.create_model(**arguments)


def test_incomplete_architecture_is_named():
  fields = models.architecture(models.create_model("van_b0"))
  del fields["attention"]
  with pytest.raises(ValueError, match="lacks attention"):
    models.from_architecture(fields)


@pytest.mark.parametrize(
  ("alias", "name"),
  [
    ("van_tiny", "van_b0"),
    ("van_small", "van_b1"),
    ("van_base", "van_b2"),
    ("van_large", "van_b3"),
  ],
)
def test_the_papers_names_are_known(alias, name):
  assert models.create_model(alias) == models.create_model(name)
  assert alias not in models.list_models()
