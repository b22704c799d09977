"""What is known of data that is not there."""

import pytest

from configs import ade20k
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


def test_a_batch_has_the_parts_of_the_pipelines(find, tiny_config):
  found, config = find(), tiny_config()
  size, side = config.evaluation.batch_size, config.preprocessing.image_size
  assert found.evaluation_batch(config) == {
    "image": ((size, side, side, 3), "uint8"),
    "label": ((size,), "int32"),
    "mask": ((size,), "bool"),
  }
  assert "mask" not in found.training_batch(config)


def test_a_batch_of_masks_is_of_crops_or_of_whole_images():
  config = ade20k.get_config("van_b0,fpn")
  found = examples.Examples(num_train=None, num_eval=None)
  assert found.training_batch(config) == {
    "image": ((32, 512, 512, 3), "uint8"),
    "label": ((32, 512, 512), "uint8"),
  }
  assert found.evaluation_batch(config) == {
    "image": ((32, 512, 704, 3), "uint8"),  # 683 wide, in multiples of 32.
    "label": ((32, 512, 704), "uint8"),
    "size": ((32, 2), "int32"),
    "mask": ((32,), "bool"),
  }
  config.evaluation.ratios = (0.5, 1.25)
  assert found.evaluation_batch(config)["image"] == (
    ((32, 256, 352, 3), "uint8"),
    ((32, 640, 864, 3), "uint8"),  # Of 853; 1.25 times 704 are 896.
  )
