"""Hugging Face's JSON beside the weights is followed, or refused."""

import dataclasses
import json

import published_files as published
import pytest

from van_jax.data.images import preprocessing as preprocessing_lib
from van_jax.interop import convert as conversion
from van_jax.interop.facts import image_processors, published_preprocessing

CONFIG = {
  "model_type": "van",
  "architectures": ["VanForImageClassification"],
  "num_channels": 3,
  "patch_sizes": [7, 3, 3, 3],
  "strides": [4, 2, 2, 2],
  "hidden_sizes": [8, 12, 20, 24],
  "depths": [1, 2, 2, 1],
  "mlp_ratios": [2, 2, 1, 3],
  "hidden_act": "gelu",
  "layer_norm_eps": 1e-06,
}
# As in the repositories of the published weights.
CONVNEXT = {
  "crop_pct": 0.875,
  "do_normalize": True,
  "do_resize": True,
  "feature_extractor_type": "ConvNextFeatureExtractor",
  "image_mean": [0.485, 0.456, 0.406],
  "image_std": [0.229, 0.224, 0.225],
  "resample": 3,
  "size": 224,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  path = tmp_path_factory.mktemp("weights") / "model.safetensors"
  published.write_safetensors(
    path, published.hugging_face(published.official())
  )
  return path.read_bytes()


def read(
  folder, weights, config=None, processor=None, name="model.safetensors"
):
  """Reads the weights with JSON files beside them."""
  (folder / name).write_bytes(weights)
  if config is not None:
    (folder / "config.json").write_text(json.dumps(config))
  if processor is not None:
    text = json.dumps(processor)
    (folder / "preprocessor_config.json").write_text(text)
  return conversion.read_weights(folder / name)


def test_the_configs_epsilon_is_taken(weights, tmp_path):
  bundle = read(tmp_path, weights, CONFIG | {"layer_norm_eps": 1e-5})
  assert bundle.model.layer_norm_epsilon == 1e-5


def test_a_given_epsilon_goes_before_the_configs(weights, tmp_path):
  (tmp_path / "model.safetensors").write_bytes(weights)
  (tmp_path / "config.json").write_text(json.dumps(CONFIG))
  model = conversion.read_weights(tmp_path, layer_norm_epsilon=1e-4).model
  assert model.layer_norm_epsilon == 1e-4


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("strides", [2, 2, 2, 2]),
    ("patch_sizes", [4, 2, 2, 2]),
    ("hidden_act", "relu"),
    ("hidden_act", "gelu_new"),
    ("num_channels", 1),
    ("mlp_ratios", [8, 8, 4, 4]),
    ("hidden_sizes", [64, 128, 320, 512]),
    ("depths", [3, 3, 12, 3]),
    ("layer_norm_eps", "small"),
    ("layer_norm_eps", 0),
    ("strides", {}),
  ],
)
def test_what_the_config_has_other_is_refused(field, value, weights, tmp_path):
  with pytest.raises(ValueError, match=rf"config\.json: {field}="):
    read(tmp_path, weights, CONFIG | {field: value})


NAMES = {str(i): f"thing {i}" for i in range(7)}


@pytest.mark.parametrize(
  "config",
  [
    {"id2label": NAMES, "model_type": "resnet"},
    {"id2label": NAMES},
    CONFIG | {"id2label": NAMES | {"3": "LABEL_3"}},
    CONFIG | {"id2label": {str(i): f"LABEL_{i}" for i in range(7)}},
    CONFIG | {"id2label": {"a": "b"}},
    CONFIG | {"id2label": {"0": "one only"}},
    CONFIG | {"id2label": [*NAMES.values()]},
    CONFIG | {"id2label": NAMES | {"3": "\ud800"}},
  ],
)
def test_labels_that_are_none_are_not_taken(config, weights, tmp_path):
  assert read(tmp_path, weights, config).labels is None


def test_a_config_beside_another_file_is_left_alone(weights, tmp_path, caplog):
  config = CONFIG | {"id2label": NAMES, "layer_norm_eps": 1e-3}
  bundle = read(tmp_path, weights, config, CONVNEXT, name="mine.safetensors")
  assert bundle.labels is None
  assert bundle.model.layer_norm_epsilon == 1e-6
  assert bundle.preprocessing == published_preprocessing.HALF
  assert "config.json beside it was not read" in caplog.text


def test_a_config_beside_official_weights_is_left_alone(tmp_path):
  published.write_official(tmp_path / "model.bin", published.official())
  config = CONFIG | {"id2label": NAMES}
  (tmp_path / "config.json").write_text(json.dumps(config))
  assert conversion.read_weights(tmp_path / "model.bin").labels is None


def test_the_processor_beside_the_weights_is_followed(weights, tmp_path):
  got = read(tmp_path, weights, CONFIG, CONVNEXT).preprocessing
  assert got == published_preprocessing.IMAGENET


def test_newer_processors_say_the_same(weights, tmp_path):
  processor = {
    "image_processor_type": "ConvNextImageProcessor",
    "size": {"shortest_edge": 384},
    "crop_pct": 0.875,
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 0.00392156862745098,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
  }
  got = read(tmp_path, weights, CONFIG, processor).preprocessing
  assert got == preprocessing_lib.Preprocessing(
    image_size=384,
    resize_mode="warp",
    resize_size=384,
    interpolation="bilinear",
    std=(0.25, 0.25, 0.25),
  )


@pytest.mark.parametrize(
  "change",
  [
    {"image_processor_type": "CLIPImageProcessor"},
    {"do_normalize": False},
    {"do_rescale": False},
    {"rescale_factor": 1},
    {"size": None},
    {"crop_pct": 2.0},
    {"resample": 0},
    {"image_mean": [0.5]},
  ],
)
def test_a_processor_that_cannot_be_followed_is_said(
  change, weights, tmp_path, caplog
):
  got = read(tmp_path, weights, CONFIG, CONVNEXT | change).preprocessing
  assert got == published_preprocessing.HALF
  assert "preprocessor_config.json is not followed" in caplog.text
  assert "--resize_size" in caplog.text


def test_the_published_weights_wrong_processor_is_not_followed(
  weights, tmp_path, caplog
):
  path = tmp_path / "model.safetensors"
  (tmp_path / image_processors.NAME).write_text(json.dumps(CONVNEXT))
  assert image_processors.read(path, published=True) is None
  assert "B0 loses three points" in caplog.text
  mine = CONVNEXT | {"crop_pct": 224 / 256.5}  # As this project writes it.
  (tmp_path / image_processors.NAME).write_text(json.dumps(mine))
  got = image_processors.read(path, published=True)
  assert got == published_preprocessing.IMAGENET


@pytest.mark.parametrize(
  "fields",
  [
    {},
    {"resize_size": 256, "mean": (0.4, 0.5, 0.6), "std": (0.1, 0.2, 0.3)},
    {"image_size": 192, "resize_size": 225, "interpolation": "lanczos"},
    {"image_size": 384, "resize_size": 384, "resize_mode": "warp"},
  ],
)
def test_bundles_come_back_from_hugging_face_with_all_they_had(
  fields, weights, tmp_path
):
  (tmp_path / "model.safetensors").write_bytes(weights)
  conversion.convert(
    input=tmp_path / "model.safetensors",
    output=tmp_path / "bundle",
    preprocessing=fields,
    layer_norm_epsilon=1e-5,
  )
  conversion.convert_back(
    input=tmp_path / "bundle", output=tmp_path / "back", to="huggingface"
  )
  bundle = conversion.read_weights(tmp_path / "back")
  assert bundle.preprocessing == dataclasses.replace(
    published_preprocessing.HALF, **fields
  )
  assert bundle.model.layer_norm_epsilon == 1e-5
  assert bundle.labels is None
  assert bundle.source["batches_seen"] == 387810
