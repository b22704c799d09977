"""Bad input through the front door: what is refused, how, and what survives."""

import json
import math
import pathlib
import shutil

import pytest
from PIL import Image

from configs import default, segmentation
from van_jax import data, errors, experiment
from van_jax.data.sources import record_split, tfds
from van_jax.experiment import config_check, misfits, running
from van_jax.training.run import kept, restoring, workdir as workdir_lib

KEPT = [8, 10, 12]  # The checkpoints of a finished tiny run.


@pytest.fixture
def refuse(tiny_config, tmp_path):
  """Returns a function that trains, and gives the error's one line."""

  def refuse(*, workdir=None, error=ValueError, **changes):
    config = tiny_config(**changes)
    with pytest.raises(error) as info:
      experiment.train(config, workdir=str(workdir or tmp_path / "run"))
    return str(info.value)

  return refuse


@pytest.fixture
def images(tmp_path):
  """Returns the config keys of a folder data set, and the folder."""
  root = tmp_path / "images"
  for split in ("train", "val"):
    for name in ("ant", "bee"):
      (root / split / name).mkdir(parents=True)
      for i in range(8):
        path = root / split / name / f"{i}.png"
        Image.new("RGB", (32, 32), (i, i, i)).save(path)
  keys = {
    "model.num_classes": 2,
    "data.name": "folder",
    "data.directory": str(root),
    "data.train_split": "train",
    "data.eval_split": "val",
  }
  return keys, root


def test_an_unknown_key_of_a_config_file(tiny_config, tmp_path):
  config = tiny_config().unlock()
  config.optimizer.weight_decy = 0.1
  with pytest.raises(ValueError, match=r"weight_decy .*\.weight_decay\?"):
    experiment.train(config, workdir=str(tmp_path))


def test_a_section_that_is_not_there(tiny_config):
  config = tiny_config().copy_and_resolve_references().unlock()
  del config.task
  with pytest.raises(errors.UserError, match=r"config\.task is missing"):
    config_check.check_config(config)


def test_an_unknown_option_of_the_named_optimizer(tiny_config, tmp_path):
  config = tiny_config().unlock()
  config.optimizer.options.beta3 = 0.1
  with pytest.raises(ValueError, match=r"options\.beta3 .*did you mean beta"):
    experiment.train(config, workdir=str(tmp_path))


def test_a_threshold_below_what_smoothing_gives_each_class(
  tiny_config, tmp_path
):
  config = tiny_config(**{"loss.name": "binary_cross_entropy"}).unlock()
  config.loss.options.target_threshold = 0.0
  match = r"target_threshold=0.0 must .*mixing.label_smoothing=0.1"
  with pytest.raises(ValueError, match=match):
    experiment.train(config, workdir=str(tmp_path))


def test_a_wrong_type_within_a_tuple(refuse):
  message = refuse(**{"augmentation.crop_scale": (0.1, "one")})
  assert "config.augmentation has a value of a wrong type" in message


@pytest.mark.parametrize(
  ("changes", "parts"),
  [
    ({"batch_size": 12}, ("batch_size=12", "8 devices", "use 8 or 16")),
    ({"evaluation.batch_size": 12}, ("evaluation.batch_size=12", "8 devices")),
    ({"accumulation_steps": 4}, ("batch_size=16", "4 micro-batches", "use 32")),
    ({"batch_size": 104}, ("batch_size=104", "100 examples", "train[:100]")),
    ({"preprocessing.image_size": 31}, ("image_size=31", "at least 32")),
    ({"augmentation.image_size": 16}, ("image_size=16", "at least 32")),
    ({"model.num_classes": 7}, ("num_classes=7", "10 classes", "'digits'")),
    ({"loss.name": "bce"}, ("loss.name='bce'", "binary_cross_entropy")),
    ({"optimizer.name": "adam"}, ("'adam'", "there are adamw")),
    ({"schedule.name": "cosin"}, ("'cosin'", "cosine")),
    ({"model.name": "van_b9"}, ("'van_b9'", "van_b")),
    ({"ema.decay": 1.5}, ("ema.decay=1.5", "None")),
    ({"checkpoint.keep_last": 0}, ("checkpoint.keep_last=0",)),
    ({"logging.every_steps": 0}, ("config.logging.every_steps=0", "above 0")),
    ({"logging.profile_steps": -1}, ("logging.profile_steps=-1",)),
    ({"data.train_split": "trian"}, ("trian",)),
    ({"erasing.probability": 1.5}, ("erasing.probability=1.5", "[0, 1]")),
    ({"seed": -1}, ("config.seed=-1", "from 0")),
    ({"seed": None}, ("config.seed=None must have a value", "default.py")),
    ({"augmentation.policy": None}, ("augmentation.policy=None must",)),
    ({"data.train_split": None}, ("data.train_split=None must",)),
    ({"evaluation.every_epochs": math.nan}, ("every_epochs=nan", "finite")),
    ({"checkpoint.every_epochs": -math.inf}, ("every_epochs=-inf", "finite")),
    ({"schedule.epochs": math.inf}, ("schedule.epochs=inf", "finite")),
    ({"schedule.learning_rate": math.nan}, ("learning_rate=nan", "finite")),
    ({"augmentation.crop_scale": (0.1, math.inf)}, ("crop_scale=(0.1, inf)",)),
    ({"optimizer.gradient_clip_norm": math.inf}, ("gradient_clip_norm=inf",)),
    (
      {"model.dtype": "float16"},
      ("model.dtype='float16'", "without loss scaling", "bfloat16"),
    ),
    ({"seed": 1 << 32}, ("config.seed=4294967296", "to 4294967295")),
  ],
)
def test_a_wrong_value_is_named_with_the_rule(refuse, tmp_path, changes, parts):
  message = refuse(**changes)
  for part in parts:
    assert part in message
  assert not (tmp_path / "run").exists()  # Nothing is left behind.


def test_a_data_folder_that_is_not_there(refuse, images, tmp_path):
  keys, _ = images
  absent = str(tmp_path / "absent")
  assert f"{absent} does not exist" in refuse(
    **keys | {"data.directory": absent}
  )


def test_an_empty_data_folder(refuse, images, tmp_path):
  keys, _ = images
  (tmp_path / "empty").mkdir()
  message = refuse(**keys | {"data.directory": str(tmp_path / "empty")})
  assert "holds no folder 'train'" in message
  assert "directory/SPLIT/CLASS/NAME.jpg" in message


def test_a_class_folder_without_images(refuse, images):
  keys, root = images
  shutil.rmtree(root / "train" / "bee")
  (root / "train" / "bee").mkdir()
  assert "train/bee holds no image" in refuse(**keys)


def test_a_file_that_is_not_an_image(refuse, images):
  keys, root = images
  (root / "train" / "bee" / "3.png").write_bytes(b"not an image")
  message = refuse(**keys)
  assert f"{root}/train/bee/3.png is damaged or not an image" in message


def test_a_truncated_data_set(refuse, data_directory, tmp_path):
  copy = pathlib.Path(shutil.copytree(data_directory, tmp_path / "cut"))
  records = next(copy.rglob("*train*record*"))
  content = records.read_bytes()
  records.write_bytes(content[: len(content) // 50])
  message = refuse(**{"data.directory": str(copy)})
  assert str(copy) in message


def test_a_workdir_of_another_config(refuse, run_copy):
  message = refuse(workdir=run_copy, seed=7)
  assert "seed is 0 there, 7 here" in message
  assert "--start_over" in message
  assert kept.steps(run_copy / "checkpoints") == KEPT


def test_a_shuffle_that_cannot_be_leaves_no_run_behind(
  refuse, tmp_path, monkeypatch
):
  def window(*arguments):
    raise ValueError("too few")

  monkeypatch.setattr(tfds, "MAX_BYTES_IN_MEMORY", 0)  # In stripes.
  monkeypatch.setattr(record_split.RecordSplit, "window", window)
  assert refuse() == "too few"
  assert not (tmp_path / "run").exists()


def test_a_run_that_met_a_damaged_image_may_go_on_past_it(
  run_copy, tiny_config, monkeypatch
):
  monkeypatch.setattr(running, "run", lambda *arguments: {})
  config = tiny_config(**{"data.on_damaged": "skip"})
  experiment.train(config, workdir=str(run_copy))
  assert kept.steps(run_copy / "checkpoints") == KEPT


def test_starting_over_sets_the_run_aside(run_copy, tiny_config, monkeypatch):
  monkeypatch.setattr(running, "run", lambda *arguments: {})
  other = tiny_config(seed=7)
  experiment.train(other, workdir=str(run_copy), start_over=True)
  assert workdir_lib.read_config(run_copy)["seed"] == 7
  assert not (run_copy / "checkpoints").exists()
  aside = run_copy.with_name(f"{run_copy.name}.1")
  assert kept.steps(aside / "checkpoints") == KEPT


def test_starting_over_with_a_bad_config_leaves_the_run(run_copy, tiny_config):
  with pytest.raises(ValueError, match="8 devices"):
    experiment.train(
      tiny_config(batch_size=12), workdir=str(run_copy), start_over=True
    )
  assert kept.steps(run_copy / "checkpoints") == KEPT


def test_resuming_a_checkpoint_of_another_architecture(refuse, run_copy):
  # The config is that of another network, the checkpoints are not.
  path = run_copy / "config.json"
  described = json.loads(path.read_text())
  described["model"]["widths"] = [8, 8, 16, 24]
  path.write_text(json.dumps(described))
  message = refuse(workdir=run_copy, **{"model.widths": (8, 8, 16, 24)})
  assert "does not fit the config" in message
  assert "checkpoint (16,), config (24,)" in message
  assert kept.steps(run_copy / "checkpoints") == KEPT


@pytest.mark.parametrize("what", ["bundle", "."])
def test_scoring_a_checkpoint_of_another_architecture(
  finished, tiny_config, what
):
  with pytest.raises(
    ValueError, match=r"widths \[8, 8, 16, 16\] there, \[8, 8"
  ):
    experiment.evaluate(
      tiny_config(**{"model.widths": (8, 8, 16, 24)}),
      checkpoint=str(finished[0] / what),
    )


@pytest.mark.parametrize(
  ("step", "message"),
  [("newest", "latest, best, or a number"), ("7", r"\[8, 10, 12\]")],
)
def test_scoring_a_step_that_is_not_there(finished, tiny_config, step, message):
  with pytest.raises((ValueError, restoring.CheckpointError), match=message):
    experiment.evaluate(tiny_config(), checkpoint=str(finished[0]), step=step)


def test_scoring_a_folder_that_holds_no_weights(tiny_config, tmp_path):
  with pytest.raises(
    ValueError, match=f"checkpoint={tmp_path} must be a bundle"
  ):
    experiment.evaluate(tiny_config(), checkpoint=str(tmp_path))


def test_a_pretrained_bundle_that_does_not_fit(refuse, finished, tmp_path):
  message = refuse(
    pretrained_bundle=str(finished[0] / "bundle"),
    **{"model.widths": (8, 8, 16, 24)},
  )
  assert "The pretrained weights do not fit the model" in message
  assert "weights (16,), model (24,)" in message
  assert not (tmp_path / "run").exists()


def test_a_pretrained_bundle_that_is_not_there(refuse, tmp_path):
  message = refuse(pretrained_bundle=str(tmp_path), error=ValueError)
  assert f"pretrained_bundle={tmp_path}: {tmp_path} is not a bundle" in message
  assert "Or train without, --config.pretrained_bundle=''." in message


@pytest.mark.parametrize(
  ("script", "argument", "message"),
  [
    ("train.py", "--start_over", "--workdir must have a value"),
    ("train.py", "--workdir=", "workdir=''"),
    ("eval.py", "--checkpoint=/nowhere", "checkpoint=/nowhere must be"),
  ],
)
def test_scripts_say_it_in_one_line_and_exit_with_1(
  run, script, argument, message
):
  process = run(script, argument)
  assert process.returncode == 1
  assert process.stderr.startswith("error: ")
  assert process.stderr.count("\n") == 1
  assert message in process.stderr
  assert process.stdout == ""


@pytest.mark.parametrize(
  ("config", "masks", "message"),
  [
    (segmentation, False, "'pairs' has no masks, and the config is of images "),
    (default, True, "'imagenet2012' has masks, and the config is of images "),
  ],
)
def test_data_of_the_other_kind(config, masks, message):
  numbering = data.MaskNumbering(num_classes=2) if masks else None
  split = data.MemorySplit(
    title="mine", parts={"image": [b""]}, mask_numbering=numbering
  )
  source = data.Source("mine", ("a", "b"), None, split)
  with pytest.raises(errors.UserError, match=message):
    misfits.check_kind(config.get_config(), source)
