"""ImageNet's recipe on a data set that TFDS' own imagenet2012 code wrote.

Its builder reads archives of the layout of the real ones: images drawn at
random, at least one in each of the 1,000 classes.
"""

import io
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from van_jax import data, experiment
from van_jax.data import prepare
from van_jax.data.sources import record_split
from van_jax.data.tensorflow import tfds

NUM_TRAIN, NUM_EVAL, SHARDS = 1100, 1003, 8


def _jpeg(rng) -> bytes:
  """Returns a JPEG of a few smooth colours, of a size of its own."""
  coarse = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8))
  size = rng.integers(36, 60, 2).tolist()
  file = io.BytesIO()
  coarse.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG")
  return file.getvalue()


def _tar(contents) -> bytes:
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode="w") as archive:
    for name, content in contents:
      entry = tarfile.TarInfo(name)
      entry.size = len(content)
      archive.addfile(entry, io.BytesIO(content))
  return file.getvalue()


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
  """Returns a TFDS directory with imagenet2012, as README prepares it."""
  directory = tmp_path_factory.mktemp("tfds")
  manual = directory / "downloads" / "manual"
  manual.mkdir(parents=True)
  rng = np.random.default_rng(0)
  labels = tfds.core.tfds_path("datasets/imagenet2012/labels.txt")
  classes = []
  for i, wnid in enumerate(labels.read_text().split()):
    count = NUM_TRAIN // 1000 + (i < NUM_TRAIN % 1000)
    images = [(f"{wnid}_{j}.JPEG", _jpeg(rng)) for j in range(count)]
    classes.append((f"{wnid}.tar", _tar(images)))
  (manual / "ILSVRC2012_img_train.tar").write_bytes(_tar(classes))
  images = [
    (f"ILSVRC2012_val_{i + 1:08d}.JPEG", _jpeg(rng)) for i in range(NUM_EVAL)
  ]
  (manual / "ILSVRC2012_img_val.tar").write_bytes(_tar(images))

  base = tfds.core.DatasetBuilder
  plain = base.download_and_prepare
  shards = tfds.download.DownloadConfig(num_shards=SHARDS)
  with pytest.MonkeyPatch.context() as patch:
    # As many images as these would fill one file.
    patch.setattr(
      base,
      "download_and_prepare",
      lambda builder: plain(builder, download_config=shards),
    )
    prepare.main(["imagenet2012:5.1.0", f"--directory={directory}"])
  return str(directory)


@pytest.fixture
def config(imagenet, root, monkeypatch):
  """Returns van_b0's config, cut down in size and in length alone."""
  monkeypatch.setattr(sys, "path", [str(root), *sys.path])
  from configs import imagenet1k

  # Read in stripes, as the real one is.
  monkeypatch.setattr("van_jax.data.sources.tfds.MAX_BYTES_IN_MEMORY", 0)
  config = imagenet1k.get_config("van_b0")
  config.compilation_cache = ""
  config.data.directory = imagenet
  config.batch_size = 256
  config.evaluation.batch_size = 256
  config.augmentation.image_size = 32
  config.preprocessing.image_size = 32
  config.preprocessing.resize_size = 35
  config.schedule.epochs = 1.0
  config.schedule.warmup_epochs = 0.0
  config.schedule.cooldown_epochs = 0.0
  config.logging.every_steps = 1
  config.model.widths = (8, 8, 16, 16)
  config.model.depths = (1, 1, 1, 1)
  config.model.ffn_ratios = (2, 2, 2, 2)
  config.model.implementation = "xla"
  return config.lock()


@pytest.mark.slow
def test_the_recipe_trains_and_counts_every_image(config, tmp_path):
  scores = experiment.train(config, workdir=str(tmp_path / "run"))
  assert scores["count"] == NUM_EVAL
  # At chance: log(1000) = 6.9.
  assert 6 < scores["loss"] < 8


def test_the_source_is_imagenet_in_stripes(config):
  source = data.open_source(**config.data)
  assert isinstance(source.train, record_split.RecordSplit)
  assert len(source.train.files) == SHARDS
  assert (source.num_train, source.num_eval) == (NUM_TRAIN, NUM_EVAL)
  assert source.num_classes == 1000
  assert source.class_names[:2] == ("n01440764", "n01443537")


def test_every_class_comes_in_an_epoch(config):
  source = data.open_source(**config.data)
  batches = data.train_batches(
    source,
    augmentation=data.Augmentation(**config.augmentation),
    batch_size=NUM_TRAIN,
    seed=0,
  )
  counts = np.bincount(next(batches)["label"], minlength=1000)
  # The first classes of the archive have one image more.
  assert counts.tolist() == [2] * 100 + [1] * 900


def test_another_version_says_the_command(config):
  command = (
    r"imagenet2012:6.0.0' is not prepared .*python -m van_jax.data.prepare "
    r"'imagenet2012:6.0.0' --directory=.*5\.1\.0"
  )
  with config.unlocked():
    config.data.name = "imagenet2012:6.0.0"
  with pytest.raises(ValueError, match=command):
    data.open_source(**config.data)


def test_archives_that_lack_are_asked_for(tmp_path, capsys):
  with pytest.raises(SystemExit):
    prepare.main(["imagenet2012", f"--directory={tmp_path}"])
  said = capsys.readouterr().err
  assert f"{tmp_path}/downloads/manual" in said
  assert "ILSVRC2012_img_train.tar" in said
