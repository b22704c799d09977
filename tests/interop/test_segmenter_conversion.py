"""A segmenter of mmsegmentation becomes a bundle, and comes back the same."""

import dataclasses

import numpy as np
import published_files as published
import published_segmenters as segmenters
import pytest
import torch
from flax import traverse_util

from van_jax import models
from van_jax.data.images.dense_preprocessing import DensePreprocessing
from van_jax.interop import convert as conversion, export
from van_jax.interop.facts import published_preprocessing

SIZE = segmenters.BACKBONE
HEADS = {
  "fpn": {"name": "fpn", "channels": 6, "pyramid_channels": 9},
  "upernet": {"name": "upernet", "channels": 6},
  "fcn": {"name": "fcn", "stage": 4, "channels": 6, "convs": 2},
}
FCN = {"name": "fcn", "stage": 3, "channels": 7}
NAMES = ("wall", "sky", "tree", "road", "car")
PALETTE = [
  [120, 120, 120],
  [180, 120, 120],
  [6, 230, 230],
  [4, 5, 6],
  [0, 0, 9],
]
CONFIG = """model = dict(
    type='EncoderDecoder',
    backbone=dict(type='VAN', embed_dims=[8, 12, 20, 24]),
    decode_head=dict(type='UPerHead', pool_scales=(1, 2, 4, 8)))
train_pipeline = [
    dict(type='Resize', img_scale=(1024, 1024), ratio_range=(0.5, 2.0)),
    dict(type='Normalize', mean=[127.5, 102.0, 51.0], std=[51.0, 51.0, 51.0]),
]
test_pipeline = [
    dict(
        type='MultiScaleFlipAug',
        img_scale=(1024, 2048),
        transforms=[dict(type='AlignResize', keep_ratio=True, size_divisor=8)])
]
"""


def write(path, arrays, **meta):
  """Writes a checkpoint as mmcv does, and returns its path."""
  meta = {"mmseg_version": "0.12.0", "CLASSES": NAMES, **meta}
  published.write_openmmlab(path, arrays, **meta)
  return path


def read(path, arrays, meta=None, **options):
  return conversion.read_weights(write(path, arrays, **(meta or {})), **options)


def expected(head, auxiliary=None, epsilon=1e-5):
  van = models.VAN(
    SIZE.widths,
    SIZE.depths,
    SIZE.ratios,
    num_classes=0,
    layer_norm_epsilon=epsilon,
  )
  return models.Segmenter(van, head, auxiliary, segmenters.CLASSES)


def assert_holds(bundle, leaves):
  got = traverse_util.flatten_dict(bundle.variables, sep="/")
  assert got.keys() == leaves.keys()
  for path, array in leaves.items():
    np.testing.assert_array_equal(got[path], array, err_msg=path)


@pytest.mark.parametrize(
  ("head", "auxiliary"),
  [("fpn", False), ("upernet", True), ("upernet", False), ("fcn", False)],
)
def test_heads_are_recognised_and_read_bit_for_bit(head, auxiliary, tmp_path):
  arrays = segmenters.segmenter(head, auxiliary=auxiliary)
  bundle = read(tmp_path / "w", arrays)
  assert bundle.model == expected(HEADS[head], FCN if auxiliary else None)
  assert_holds(bundle, segmenters.flax_paths(arrays))
  assert bundle.task == "segmentation"
  assert bundle.source["format"] == "mmsegmentation"
  assert bundle.source["dropped"] == {}
  assert bundle.source["batches_seen"] == 387810


def test_a_backbone_of_mmpretrains_names_is_read_too(tmp_path):
  arrays = segmenters.segmenter("fpn")
  van = {
    key.removeprefix("backbone."): array
    for key, array in arrays.items()
    if key.startswith("backbone.")
  }
  heads = {k: a for k, a in arrays.items() if not k.startswith("backbone.")}
  bundle = read(tmp_path / "w", heads | published.mmpretrain(van))
  assert_holds(bundle, segmenters.flax_paths(arrays))


def test_wrapped_names_are_read_too(tmp_path):
  arrays = segmenters.segmenter("upernet", auxiliary=True)
  wrapped = {f"module.net.{key}": array for key, array in arrays.items()}
  bundle = read(tmp_path / "w", wrapped)
  assert_holds(bundle, segmenters.flax_paths(arrays))


@pytest.mark.parametrize(
  "meta",
  [
    {"PALETTE": PALETTE},
    {"PALETTE": np.array(PALETTE)},
    {"CLASSES": None, "dataset_meta": {"classes": NAMES, "palette": PALETTE}},
  ],
)
def test_names_and_colours_come_from_meta(meta, tmp_path):
  bundle = read(tmp_path / "w", segmenters.segmenter("fcn"), meta)
  assert bundle.labels == NAMES
  assert bundle.colors == tuple(map(tuple, PALETTE))


@pytest.mark.parametrize(
  "palette",
  [
    None,
    PALETTE[:3],
    "rrggb",
    [[0, 0, 256]] * 5,
    [[0, 0]] * 5,
    [[0, 0, 0.5]] * 5,
  ],
)
def test_what_is_no_palette_is_left(palette, tmp_path):
  meta = {"PALETTE": palette}
  assert read(tmp_path / "w", segmenters.segmenter("fcn"), meta).colors is None


def test_a_thousand_classes_of_pixels_are_not_imagenets(tmp_path):
  arrays = segmenters.segmenter("fcn")
  arrays["decode_head.conv_seg.weight"] = np.ones((1000, 6, 1, 1), np.float32)
  arrays["decode_head.conv_seg.bias"] = np.ones(1000, np.float32)
  assert read(tmp_path / "w", arrays).labels is None


def test_images_are_as_published_where_nothing_tells(tmp_path):
  shown = read(tmp_path / "w", segmenters.segmenter("fpn")).preprocessing
  assert (shown.scale, shown.multiple) == ((2048, 512), 32)
  # 123.675 116.28 103.53 and 58.395 57.12 57.375, of 255.
  assert shown.mean == (0.485, 0.456, 0.406)
  assert shown.std == (0.229, 0.224, 0.225)


def test_the_config_of_the_training_tells_what_no_weight_does(tmp_path):
  bundle = read(
    tmp_path / "w", segmenters.segmenter("upernet"), {"config": CONFIG}
  )
  assert bundle.model.head["pool_scales"] == (1, 2, 4, 8)
  assert bundle.preprocessing == DensePreprocessing(
    scale=(2048, 1024), multiple=8, mean=(0.5, 0.4, 0.2), std=(0.2, 0.2, 0.2)
  )


@pytest.mark.parametrize(
  ("ratios", "rates"),
  [
    (("0.25", "0"), (0.25, 0.0)),
    (("-1", ".5"), (0.0, 0.5)),  # Nothing is dropped.
    (("1.5", "0.1.2"), (0.1, 0.1)),  # None; ours are as published.
  ],
)
def test_dropout_is_each_heads_own_in_the_config(ratios, rates, tmp_path):
  config = """model = dict(
    backbone=dict(type='VAN', dropout_ratio=0.9),
    decode_head=dict(
        type='UPerHead', loss_decode=dict(dropout_ratio=0.8),
        dropout_ratio={}, in_index=[0, 1, 2, 3]),
    auxiliary_head=dict(channels=7, dropout_ratio={}))
"""
  meta = {"config": config.format(*ratios)}
  arrays = segmenters.segmenter("upernet", auxiliary=True)
  model = read(tmp_path / "w", arrays, meta).model
  found = (model.head["dropout_rate"], model.auxiliary["dropout_rate"])
  assert found == rates


@pytest.mark.parametrize(
  ("name", "epsilon"), [("van_tiny", 1e-6), ("VAN", 1e-5)]
)
def test_the_stage_norms_have_the_codes_epsilon(name, epsilon, tmp_path):
  meta = {"config": f"model = dict(backbone=dict(type='{name}'))"}
  model = read(tmp_path / "w", segmenters.segmenter("fcn"), meta).model
  assert model == expected(HEADS["fcn"], epsilon=epsilon)


def test_a_config_is_never_run(tmp_path):
  victim = tmp_path / "touched"
  call = f"__import__('pathlib').Path('{victim}').touch()"
  config = f"pool_scales=({call})\ntest_pipeline = [\n{call}\n]\nmean=[{call}]"
  meta = {"config": config}
  bundle = read(tmp_path / "w", segmenters.segmenter("upernet"), meta)
  assert bundle.model.head["pool_scales"] == (1, 2, 3, 6)
  assert not victim.exists()


def test_the_backbone_alone_is_taken_on_demand(tmp_path):
  arrays = segmenters.segmenter("upernet", auxiliary=True)
  bundle = read(tmp_path / "w", arrays, backbone_only=True)
  assert bundle.model == expected("fpn").backbone
  van = {
    key.removeprefix("backbone."): array
    for key, array in arrays.items()
    if key.startswith("backbone.")
  }
  assert_holds(bundle, published.flax_paths(van))
  assert bundle.source["dropped"]["auxiliary_head"] == 8
  assert bundle.task == "classification"
  assert (bundle.labels, bundle.colors) == (None, None)
  assert bundle.preprocessing == published_preprocessing.IMAGENET


def test_a_classifier_has_no_heads_to_leave_out(tmp_path):
  published.write_official(tmp_path / "w", published.official())
  with pytest.raises(ValueError, match=r"backbone_only=True.*classifier's"):
    conversion.read_weights(tmp_path / "w", backbone_only=True)


def without(arrays, start):
  return {k: v for k, v in arrays.items() if not k.startswith(start)}


@pytest.mark.parametrize(
  ("head", "change", "meta", "message"),
  [
    (
      "upernet",
      lambda arrays: without(arrays, "decode_head.psp"),
      {},
      r"decode_head is none of Semantic FPN .*--backbone_only",
    ),
    (
      "upernet",
      lambda arrays: without(arrays, "decode_head.psp_modules.3"),
      {},
      r"pools at 3 scales.*\(1, 2, 3, 6\), are 4; --backbone_only",
    ),
    (
      "fcn",
      lambda arrays: arrays,
      {"config": "decode_head=dict(align_corners=True)"},
      r"align_corners=True.*--backbone_only",
    ),
    (
      "fcn",
      lambda arrays: (
        arrays
        | {"decode_head.convs.0.conv.weight": np.ones((6, 5, 3, 3), np.float32)}
      ),
      {},
      r"decode_head is not an FCN .* has 5 channels .* 8, 12, 20, 24",
    ),
    (
      "fpn",
      lambda arrays: without(arrays, "decode_head.scale_heads.3.4"),
      {},
      r"segmenter with the head fpn(.|\n)*scale_heads.3.4.conv.weight \(our .*"
      r"is not in the file(.|\n)*--backbone_only",
    ),
    (
      "fcn",
      lambda arrays: arrays | {"neck.x": np.ones(3, np.float32)},
      {},
      r"neck.x in the file has no place",
    ),
  ],
)
def test_other_heads_are_refused(head, change, meta, message, tmp_path):
  arrays = change(segmenters.segmenter(head))
  with pytest.raises(ValueError, match=message):
    read(tmp_path / "w", arrays, meta)


def back(folder, bundle, to="mmsegmentation"):
  """Returns the path of the file that a bundle in memory is written as."""
  conversion.convert_back(
    input="memory", output=folder / "back", to=to, load=lambda _: bundle
  )
  return folder / "back"


@pytest.mark.parametrize("head", HEADS)
def test_what_is_written_back_is_the_file_bit_for_bit(head, tmp_path):
  arrays = segmenters.segmenter(head, auxiliary=head == "upernet")
  bundle = read(tmp_path / "w", arrays, {"PALETTE": PALETTE})
  checkpoint = torch.load(back(tmp_path, bundle), weights_only=True)
  state, meta = checkpoint["state_dict"], checkpoint["meta"]
  assert state.keys() == arrays.keys()
  for key, array in arrays.items():
    assert state[key].numpy().dtype == array.dtype
    np.testing.assert_array_equal(state[key].numpy(), array, err_msg=key)
  assert (meta["CLASSES"], meta["PALETTE"]) == (list(NAMES), PALETTE)


@pytest.mark.parametrize(
  "shown",
  [
    DensePreprocessing(),
    DensePreprocessing(scale=None, multiple=1),
    DensePreprocessing(scale=(700, 600), multiple=64, mean=(0.5, 0.4, 0.2)),
  ],
)
def test_what_is_written_back_reads_as_the_same(shown, tmp_path):
  arrays = segmenters.segmenter("upernet", auxiliary=True)
  meta = {"config": CONFIG, "PALETTE": PALETTE}
  bundle = dataclasses.replace(
    read(tmp_path / "w", arrays, meta), preprocessing=shown
  )
  again = conversion.read_weights(back(tmp_path, bundle))
  assert again.model == bundle.model
  assert again.preprocessing.scale == shown.scale
  assert again.preprocessing.multiple == shown.multiple
  assert again.preprocessing.mean == shown.mean  # Of 255 there, rounded.
  assert again.preprocessing.std == shown.std
  assert (again.labels, again.colors) == (bundle.labels, bundle.colors)


def test_the_old_code_is_named_for_the_old_epsilon(tmp_path):
  old = models.create_segmenter("van_b1", num_classes=5)
  new = old.clone(layer_norm_epsilon=1e-5)
  own = expected("fpn", epsilon=1e-6)
  notes = [export.notes(m, to="mmsegmentation") for m in (old, new, own)]
  assert notes[:2] == [[], []]
  assert "has 1e-05 in its stage norms and this model has 1e-06" in notes[2][0]


def test_each_kind_of_model_has_its_formats(tmp_path):
  segmenter, van = expected("fpn"), expected("fpn").backbone
  for to in ("official", "mmpretrain", "huggingface"):
    with pytest.raises(ValueError, match=rf"to={to} is .*VAN.*load_backbone"):
      export.check(segmenter, to=to)
  with pytest.raises(ValueError, match=r"^to=mmsegmentation.*to=official\."):
    export.check(van, to="mmsegmentation")
  with pytest.raises(ValueError, match=r"auxiliary is fpn.*written for fcn"):
    export.check(segmenter.clone(auxiliary="fpn"), to="mmsegmentation")
