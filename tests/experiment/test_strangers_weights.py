"""Weights of a stranger's attention: its class is handed over, or nothing."""

import json
import sys

import flax.linen as nn
import ml_collections
import pytest

from configs import segmentation
from van_jax import errors, experiment
from van_jax.experiment import model_check, own_config


class Mine(nn.Module):
  """Stands for a stranger's attention."""

  @nn.compact
  def __call__(self, x):
    """Maps x to itself."""
    return x


@pytest.fixture
def workdir(tiny_config, tmp_path, monkeypatch):
  """Returns a run's folder that names modules which print when imported."""
  (tmp_path / "trap.py").write_text("raise SystemExit('imported')\n")
  monkeypatch.syspath_prepend(tmp_path)
  config = tiny_config().to_dict()
  config["model"]["attention"] = {"name": "trap:Mine"}
  config["task"]["name"] = "trap:create"
  (tmp_path / "config.json").write_text(json.dumps(config))
  return tmp_path


def test_what_a_workdir_names_is_not_imported(workdir):
  message = r"'trap:Mine', which is not imported .*--attention=trap:Mine"
  with pytest.raises(ValueError, match=message):
    experiment.load_weights(workdir)
  assert "trap" not in sys.modules


def test_the_class_may_be_handed_over(workdir):
  with pytest.raises(ValueError, match="no finished checkpoint"):
    experiment.load_weights(workdir, attention=Mine)


def test_a_task_that_a_workdir_names_is_not_imported(workdir):
  message = r"'trap:create', which is not imported .* step by its number"
  with pytest.raises(ValueError, match=message):
    experiment.load_weights(workdir, attention=Mine, step="best")


def test_what_the_users_own_config_names_is_handed_over(tiny_config):
  name = f"{__name__}:Mine"
  config = tiny_config(**{"model.attention.name": name})
  assert model_check.strangers(config) == {"attention": Mine}
  assert model_check.strangers(tiny_config()) == {}


@pytest.mark.parametrize("field", ["attention", "head", "auxiliary"])
@pytest.mark.parametrize("form", ["trap:Mine", {"name": "trap:Mine"}])
def test_no_form_of_a_models_module_is_imported(field, form):
  config = segmentation.get_config().to_dict()
  config["model"][field] = form
  with pytest.raises(errors.UserError, match=rf"has model\.{field}.*trap:Mine"):
    own_config.check_imports(ml_collections.ConfigDict(config))
