"""Folders of images and masks: layouts, names, slices, and what is missing."""

import logging
import shutil

import pairs_on_disk
import pytest

from van_jax import data, errors
from van_jax.data.tensorflow import tf


def _names(split) -> list[str]:
  return [split.describe(i).rpartition("/")[2][:2] for i in range(split.size)]


@pytest.fixture
def directory(tmp_path):
  pairs_on_disk.write(tmp_path, "train", [(40, 56)] * 10)
  pairs_on_disk.write(tmp_path, "val", [(40, 56)] * 3)
  return tmp_path


def test_a_pair_is_two_files_of_one_name(directory):
  source = pairs_on_disk.open_pairs(directory, "train", "val")
  assert (source.num_train, source.num_eval) == (10, 3)
  assert source.class_names == pairs_on_disk.CLASSES
  assert source.has_masks
  assert source.train is not None
  assert source.train.describe(4) == (
    f"{directory}/images/train/04.png (mask {directory}/labels/train/04.png)"
  )
  parts = source.train.fetch(tf.constant(4, tf.int64))
  for part, folder in (("image", "images"), ("label", "labels")):
    content = (directory / folder / "train/04.png").read_bytes()
    assert parts[part].numpy() == content


def test_ade20k_is_the_same_with_other_names(tmp_path):
  for split in ("training", "validation"):
    pairs_on_disk.write(tmp_path, split, [(40, 56)] * 2, masks="annotations")
  table = "Idx\tRatio\tTrain\tVal\tName\n1 \t0.1 \t9 \t1 \twall\n"
  table += "2 \t0.1 \t9 \t1 \tbuilding, edifice\n"
  (tmp_path / "objectInfo150.txt").write_text(table)
  source = data.open_source(
    name="pairs",
    directory=str(tmp_path),
    train_split="training",
    options={"masks": "annotations", "reduce_zero_label": True},
  )
  assert source.class_names == ("wall", "building, edifice")
  assert (source.num_train, source.num_eval) == (2, 2)


def test_cityscapes_is_the_same_with_suffixes(directory):
  for folder, suffix in (("images", "_left"), ("labels", "_ids")):
    for path in (directory / folder / "train").iterdir():
      inner = path.parent / "city"
      inner.mkdir(exist_ok=True)
      path.rename(inner / f"{path.stem}{suffix}.png")
  shutil.copy(
    directory / "labels/train/city/00_ids.png",
    directory / "labels/train/city/00_color.png",
  )
  source = pairs_on_disk.open_pairs(
    directory, image_suffix="_left", mask_suffix="_ids"
  )
  assert source.train is not None
  assert source.train.describe(0).endswith("labels/train/city/00_ids.png)")


def test_slices_share_no_pair_and_keep_masks_with_images(directory):
  source = pairs_on_disk.open_pairs(directory, "train[:70%]", "train[70%:]")
  first, rest = _names(source.train), _names(source.evaluation)
  assert len(first) == 7
  assert sorted(first + rest) == [f"{i:02d}" for i in range(10)]
  for split in (source.train, source.evaluation):
    assert split is not None
    for i in range(split.size):
      image, mask = split.describe(i).split(" (mask ")
      assert image.replace("/images/", "/labels/") + ")" == mask


def test_classes_may_be_listed_in_the_folder(directory):
  (directory / "classes.txt").write_text(" a\r\nb\r\nc\r\n\r\n \n")
  source = data.open_source(
    name="pairs", directory=str(directory), eval_split=None
  )
  assert source.class_names == ("a", "b", "c")


@pytest.mark.parametrize(
  ("text", "line"), [("a\nb\n\nc\n", 3), ("\na\n", 1), ("a\n \t\nb", 2)]
)
def test_a_blank_line_would_shift_the_numbers_of_classes(directory, text, line):
  path = directory / "classes.txt"
  path.write_text(text)
  message = rf"^line {line} of {path} is blank, .*: take it out, or write the"
  with pytest.raises(errors.UserError, match=message):
    pairs_on_disk.open_pairs(directory, class_names=())


def test_files_about_an_image_are_named_as_it_is_below_its_split(directory):
  inner = directory / "images/val/city"
  inner.mkdir()
  (directory / "images/val/01.png").rename(inner / "a.b.png")
  (directory / "labels/val/city").mkdir()
  (directory / "labels/val/01.png").rename(
    directory / "labels/val/city/a.b.png"
  )
  source = pairs_on_disk.open_pairs(directory, "train", "val")
  for split, expected in (
    (source.train, [f"{i:02d}" for i in range(10)]),
    (source.evaluation, ["00", "02", "city/a.b"]),
  ):
    assert split is not None
    assert [split.stem(i) for i in range(split.size)] == expected


def test_colours_of_classes_come_with_the_pairs(directory):
  colors = ([0, 0, 255], [128, 64, 128], [64, 0, 128], [128, 128, 0])
  source = pairs_on_disk.open_pairs(directory, class_colors=colors)
  assert source.class_colors == tuple(map(tuple, colors))
  assert pairs_on_disk.open_pairs(directory).class_colors == ()


def test_an_image_without_a_mask_is_named(directory):
  (directory / "labels/train/03.png").unlink()
  (directory / "labels/train/07.png").unlink()
  with pytest.raises(
    errors.UserError,
    match=r"images/train/03\.png \(and 1 other images\) has no mask in "
    r".*labels/train, which would be called 03\.png",
  ):
    pairs_on_disk.open_pairs(directory)


def test_a_mask_without_an_image_is_left_out_and_named(directory, caplog):
  (directory / "images/train/03.png").unlink()
  with caplog.at_level(logging.WARNING):
    source = pairs_on_disk.open_pairs(directory)
  assert source.num_train == 9
  assert "1 masks have no image, and are left out: 03.png" in caplog.text


def test_a_folder_that_is_not_there_is_named(directory):
  nowhere = directory / "nowhere"
  with pytest.raises(errors.UserError, match=r"directory=.*nowhere is no fold"):
    pairs_on_disk.open_pairs(nowhere, class_names=())


def test_two_images_of_one_mask_are_named(directory):
  shutil.copy(
    directory / "images/train/03.png", directory / "images/train/03.jpg"
  )
  with pytest.raises(errors.UserError, match=r"03\.jpg and 03\.png, which"):
    pairs_on_disk.open_pairs(directory)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"masks": "annotations"}, "holds images, labels"),
    ({"num_classes": 5}, "must be the 4 of data.options.class_names"),
    ({"class_names": ()}, r"or list them in .*classes\.txt, one a line"),
    ({"class_names": ("a", "a")}, "has 'a' twice"),
    ({"class_names": "sky,road"}, "'sky,road' must be a sequence of names"),
    ({"class_names": (), "num_classes": 256}, "must be at most 255"),
    ({"ignore_index": 300}, "ignore_index=300 must be at most 255"),
    ({"ignore_index": 3}, "ignore_index=3 must be none .* 0 to 3 .* class 3 w"),
    (
      {"ignore_index": 1, "reduce_zero_label": True},
      r"ignore_index=1 must be none .* 1 to 4 .*num_classes=4 .* class 0 would",
    ),
    (
      {"class_names": (), "num_classes": 255, "reduce_zero_label": True},
      r"num_classes=255 must be at most 254 with .*reduce_zero_label=True",
    ),
    ({"mask_sufix": "_x"}, "mask_suffix"),
    ({"class_colors": [(0, 0, 0)] * 3}, "has 3 and must have one .* 4 classes"),
    ({"class_colors": 5}, "class_colors has none"),
    (
      {"class_colors": [(0, 0, 0)] * 3 + [(0, 0, 256)]},
      r"class_colors\[3\]=\(0, 0, 256\) must be three",
    ),
  ],
)
def test_bad_options_are_refused(directory, options, message):
  with pytest.raises(errors.UserError, match=message) as info:
    pairs_on_disk.open_pairs(directory, **options)
  assert "\n" not in str(info.value)


@pytest.mark.parametrize(
  ("numbering", "written", "read"),
  [
    ({"num_classes": 3}, [0, 1, 2, 255, 3], [0, 1, 2, 255, -1]),
    (
      {"num_classes": 3, "reduce_zero_label": True},
      [0, 1, 2, 3, 255, 4],
      [255, 0, 1, 2, 255, -1],
    ),
    (
      {"num_classes": 11, "ignore_index": 11},
      [0, 10, 11, 255, 12],
      [0, 10, 255, 255, -1],
    ),
    (
      {"num_classes": 254, "reduce_zero_label": True, "ignore_index": 0},
      [0, 1, 254, 255],
      [255, 0, 253, 255],
    ),
  ],
)
def test_numbers_of_masks_become_classes_or_void(numbering, written, read):
  table = data.MaskNumbering(**numbering).table()
  assert table[written].tolist() == read


@pytest.mark.parametrize(
  ("numbering", "written"),
  [
    ({"num_classes": 3}, [0, 1, 2, 255]),
    ({"num_classes": 3, "reduce_zero_label": True}, [1, 2, 3, 0]),
    ({"num_classes": 3, "ignore_index": 3}, [0, 1, 2, 255]),
  ],
)
def test_classes_are_written_as_the_data_has_them(numbering, written):
  numbering = data.MaskNumbering(**numbering)
  assert numbering.written().tolist() == written
  assert numbering.table()[written].tolist() == [0, 1, 2, data.VOID]


def test_images_may_have_no_masks(directory):
  shutil.rmtree(directory / "labels")
  (directory / "images/val/01.png").unlink()
  source = pairs_on_disk.open_pairs(directory, None, "val", unlabelled=True)
  split = source.evaluation
  assert split is not None
  assert not split.has_labels
  assert split.size == 2
  assert split.describe(1) == f"{directory}/images/val/02.png"
  parts = split.fetch(tf.constant(1, tf.int64))
  image = (directory / "images/val/02.png").read_bytes()
  assert parts["image"].numpy() == image
  assert parts["label"].numpy() == b""
  half = pairs_on_disk.open_pairs(
    directory, None, "val[50%:]", unlabelled=True
  ).evaluation
  assert half is not None
  assert not half.has_labels
