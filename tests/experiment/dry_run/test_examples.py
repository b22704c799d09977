"""What is known of data that is not there."""

import pytest

from van_jax import errors
from van_jax.experiment.dry_run import examples


@pytest.fixture
def find(tiny_config, tmp_path):
  """Returns a function that looks for data that is nowhere."""

  def find(**changes):
    keys = {f"data.{key}": value for key, value in changes.items()}
    keys["data.directory"] = str(tmp_path / "nowhere")
    return examples.find(tiny_config(**keys))

  return find


def test_known_sets_need_not_be_there(find):
  found = find(
    name="imagenet2012:5.*.*",
    train_split="train[:99%]",
    eval_split="validation",
  )
  assert (found.num_train, found.num_eval) == (1_268_355, 50_000)


def test_the_sizes_are_those_of_the_data(data_directory, tiny_config):
  source = examples.sections.build(tiny_config(), "data")
  found = examples.find(tiny_config())
  assert found.num_train == source.num_train == 100
  assert found.num_eval == source.num_eval == 42


def test_a_split_that_is_none_is_refused(find):
  with pytest.raises(errors.UserError, match="'test' is not in 'imagenet2012'"):
    find(name="imagenet2012", eval_split="test")


def test_sizes_that_nobody_knows_are_none(find):
  found = find(name="folder", train_split="train", eval_split="validation")
  assert (found.num_train, found.num_eval) == (None, None)


def test_a_batch_has_the_parts_of_the_pipelines(find):
  found = find()
  assert found.batch(4, 32, mask=True) == {
    "image": ((4, 32, 32, 3), "uint8"),
    "label": ((4,), "int32"),
    "mask": ((4,), "bool"),
  }
  assert "mask" not in found.batch(4, 32, mask=False)
