"""Three lines from a bundle and a photograph to the names of classes."""

import dataclasses
import io

import jax
import numpy as np
import published_files as published
import pytest
from PIL import Image

from van_jax import bundle as bundle_lib, models
from van_jax.bundle import prediction
from van_jax.data.images import preprocessing
from van_jax.interop import convert as conversion
from van_jax.interop.proof import photographs


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
  """Returns a small classifier of seven letters."""
  path = tmp_path_factory.mktemp("weights") / "w"
  arrays = published.official()
  published.write_official(path, {k: v * 0.1 for k, v in arrays.items()})
  return conversion.read_weights(
    path,
    labels=list("abcdefg"),
    preprocessing={"image_size": 32, "resize_size": 36},
  )


@pytest.fixture(scope="module")
def jpeg():
  """Returns an encoded photograph."""
  return photographs.read(None)["china.jpg"]


def test_paths_images_and_arrays_give_the_same(bundle, jpeg, tmp_path):
  (tmp_path / "china.jpg").write_bytes(jpeg)
  image = Image.open(io.BytesIO(jpeg))
  first = bundle_lib.predict(bundle, tmp_path / "china.jpg")
  assert bundle_lib.predict(bundle, image) == first
  assert bundle_lib.predict(bundle, np.asarray(image)) == first


def test_classes_come_by_probability(bundle, jpeg):
  image = Image.open(io.BytesIO(jpeg))
  found = bundle_lib.predict(bundle, image, top=7)
  probabilities = [p.probability for p in found]
  assert probabilities == sorted(probabilities, reverse=True)
  np.testing.assert_allclose(sum(probabilities), 1, rtol=1e-6)
  assert {p.label for p in found} == set("abcdefg")
  assert all(p.label == "abcdefg"[p.index] for p in found)


def test_probabilities_are_the_models_softmax(bundle, jpeg):
  image = Image.open(io.BytesIO(jpeg))
  pixels = preprocessing.preprocess_image(image, bundle.preprocessing)
  images = (pixels[None] / np.float32(255) - 0.5) / 0.5
  logits = jax.jit(bundle.model.apply)(bundle.variables, images)
  expected = np.exp(logits[0]) / np.exp(logits[0]).sum()
  for found in bundle_lib.predict(bundle, image, top=7):
    np.testing.assert_allclose(
      found.probability, expected[found.index], rtol=1e-4
    )


def test_unknown_names_are_numbers(bundle, jpeg):
  nameless = dataclasses.replace(bundle, labels=None)
  best = bundle_lib.predict(nameless, Image.open(io.BytesIO(jpeg)), top=1)[0]
  assert best.label == f"class {best.index}"


def test_more_classes_than_there_are_is_refused(bundle, jpeg):
  with pytest.raises(ValueError, match="top=8 must be from 1 to"):
    bundle_lib.predict(bundle, Image.open(io.BytesIO(jpeg)), top=8)


def test_fewer_than_five_classes_give_all(jpeg):
  model = models.VAN(
    widths=(8, 8, 8, 8),
    depths=(1, 1, 1, 1),
    ffn_ratios=(1, 1, 1, 1),
    num_classes=2,
    implementation="xla",
  )
  shapes = models.variable_shapes(model)
  zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
  bundle = bundle_lib.Bundle(
    model,
    zeros,
    preprocessing.Preprocessing(image_size=32, resize_size=32),
    ("cat", "dog"),
    {},
  )
  found = bundle_lib.predict(bundle, Image.open(io.BytesIO(jpeg)))
  assert [p.label for p in found] == ["cat", "dog"]


@pytest.fixture(scope="module")
def images():
  """Returns seven small images of different sizes."""
  numbers = np.random.default_rng(0)
  return [
    numbers.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8) for i in range(7)
  ]


def test_a_list_of_images_gives_what_each_gives(bundle, images, tmp_path):
  Image.fromarray(images[0]).save(tmp_path / "first.png")
  mixed = [tmp_path / "first.png", Image.fromarray(images[1]), *images[2:]]
  found = bundle_lib.predict(bundle, mixed, batch_size=4)
  for several, image in zip(found, images, strict=True):
    alone = bundle_lib.predict(bundle, image)
    assert [p.index for p in several] == [p.index for p in alone]
    np.testing.assert_allclose(  # Sums in another order.
      [p.probability for p in several],
      [p.probability for p in alone],
      rtol=1e-4,
    )


def test_lists_of_many_lengths_share_few_compiled_sizes(bundle, images):
  run = prediction._probabilities(bundle.model)
  run.clear_cache()
  for count in range(1, 8):
    assert len(bundle_lib.predict(bundle, images[:count])) == count
  assert run._cache_size() == 4  # 1, 2, 4 and 8.


def test_no_images_give_nothing(bundle):
  assert bundle_lib.predict(bundle, []) == []


def test_a_generator_of_images_is_read_batch_by_batch(bundle, images):
  found = bundle_lib.predict(bundle, iter(images[:3]), top=1, batch_size=2)
  assert [len(classes) for classes in found] == [1, 1, 1]


@pytest.mark.parametrize(
  ("image", "message"),
  [(5, "type int"), (np.zeros((0, 0, 3), np.uint8), "not empty")],
)
def test_what_is_no_image_is_said(bundle, image, message):
  with pytest.raises(ValueError, match=message):
    bundle_lib.predict(bundle, image)


def test_features_are_no_classes(bundle, jpeg):
  model = dataclasses.replace(bundle.model, num_classes=0)
  headless = bundle_lib.Bundle(
    model, bundle.variables, bundle.preprocessing, None, {}
  )
  with pytest.raises(ValueError, match="num_classes=0"):
    bundle_lib.predict(headless, Image.open(io.BytesIO(jpeg)))
