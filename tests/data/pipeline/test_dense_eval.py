"""Evaluation batches of whole images: shapes, hosts, and every pair once."""

import numpy as np
import pairs_on_disk
import pytest
from PIL import Image

from van_jax import data, errors
from van_jax.data.images import reading
from van_jax.data.pipeline import eval_plan

SIZES = [(40, 56), (48, 40), (40, 56), (56, 40), (40, 56), (96, 80), (40, 56)]
TO = data.DensePreprocessing(scale=(64, 48), multiple=16)


@pytest.fixture
def directory(tmp_path):
  pairs_on_disk.write(tmp_path, "val", SIZES)
  return tmp_path


def _batches(directory, process=0, count=1, ratios=(1.0,), **options):
  source = pairs_on_disk.open_pairs(directory, None, "val", **options)
  return data.eval_batches(
    source,
    batch_size=2,
    preprocessing=TO,
    ratios=ratios,
    process_index=process,
    process_count=count,
  )


def test_every_pair_comes_once_as_the_network_sees_it(directory):
  batches = _batches(directory)
  seen = []
  for batch, indices in zip(batches, batches.indices, strict=True):
    np.testing.assert_array_equal(batch["mask"], indices >= 0)
    for row in np.flatnonzero(batch["mask"]):
      (h, w), index = batch["size"][row], int(indices[row])
      seen.append(index)
      mask = pairs_on_disk.mask(index, *SIZES[index])
      assert (h, w) == mask.shape
      np.testing.assert_array_equal(batch["label"][row, :h, :w], mask)
      assert (batch["label"][row, h:] == data.VOID).all()
      assert (batch["label"][row, :, w:] == data.VOID).all()
      image = data.preprocess_whole(pairs_on_disk.picture(mask), TO)
      np.testing.assert_array_equal(batch["image"][row], image)
  assert sorted(seen) == list(range(len(SIZES)))


def test_each_ratio_has_an_image_made_of_the_file(directory):
  ratios, seen, sizes = (1.0, 1.5), [], set()
  for batches in (_batches(directory, i, 2, ratios) for i in (0, 1)):
    for batch, shapes in zip(batches, batches.shapes, strict=True):
      assert tuple(x.shape[1:3] for x in batch["image"]) == shapes[0]
    for batch, indices in zip(batches, batches.indices, strict=True):
      for row in np.flatnonzero(batch["mask"]):
        index = int(indices[row])
        seen.append(index)
        picture = pairs_on_disk.picture(
          pairs_on_disk.mask(index, *SIZES[index])
        )
        for images, ratio in zip(batch["image"], ratios, strict=True):
          image = data.preprocess_whole(picture, TO, ratio=ratio)
          np.testing.assert_array_equal(images[row], image)
        sizes.add(tuple(images[row].shape for images in batch["image"]))
  assert sorted(seen) == list(range(len(SIZES)))
  # Of (72, 86) pixels; 1.5 times what the network sees at 1 are 72 x 96.
  assert ((48, 64, 3), (80, 96, 3)) in sizes


def test_ratios_are_of_whole_images(directory):
  with pytest.raises(errors.UserError, match=r"ratios=\(0,\) must be one or"):
    _batches(directory, ratios=(0,))


def test_padding_is_masked_and_void(directory):
  padded = [b for b in _batches(directory) if not b["mask"].all()]
  assert padded
  for batch in padded:
    nothing = ~batch["mask"]
    assert (batch["label"][nothing] == data.VOID).all()
    assert (batch["size"][nothing] == batch["label"].shape[1:]).all()


def test_batches_may_be_read_again(directory):
  batches = _batches(directory)
  for one, other in zip(batches, batches, strict=True):
    np.testing.assert_array_equal(one["image"], other["image"])


def test_hosts_have_the_same_shapes_in_order_and_share_the_pairs(directory):
  hosts = [_batches(directory, process, 2) for process in (0, 1)]
  assert hosts[0].shapes == hosts[1].shapes
  seen = []
  for batches in zip(*hosts, strict=True):
    shapes = {tuple(b[k].shape for k in ("image", "label")) for b in batches}
    assert len(shapes) == 1
    assert all(len(batch["mask"]) == 1 for batch in batches)
  for host in hosts:
    seen += host.indices[host.indices >= 0].tolist()
  assert sorted(seen) == list(range(len(SIZES)))


def test_pairs_share_a_batch_if_the_network_sees_one_shape():
  sizes = np.array([(40, 60), (400, 600), (60, 40), (40, 60), (79, 118)])
  seen = np.array([(64, 96), (64, 96), (96, 64), (64, 96), (64, 96)])
  planned = eval_plan.plan(sizes, seen[:, None], 2)
  rows = {tuple(b.indices): (*b.image_shapes, b.label_shape) for b in planned}
  assert rows == {
    (2, -1): ((96, 64), (60, 40)),
    (0, 3): ((64, 96), (40, 60)),  # Labels no larger than the images.
    (4, -1): ((64, 96), (79, 118)),  # Up to twice a side.
    (1, -1): ((64, 96), (400, 600)),  # Up to eight times.
  }
  last = [batch.indices.max() for batch in planned]
  assert last == sorted(last)


def test_pairs_share_a_batch_if_they_have_one_shape_at_each_ratio():
  sizes = np.array([(64, 64), (64, 60), (64, 64)])
  seen = np.array([[(64, 64), (96, 96)], [(64, 64), (96, 64)]])[[0, 1, 0]]
  planned = eval_plan.plan(sizes, seen, 2)
  assert {tuple(b.indices): b.image_shapes for b in planned} == {
    (0, 2): ((64, 64), (96, 96)),
    (1, -1): ((64, 64), (96, 64)),
  }


def test_a_mask_of_another_size_is_named_before_the_first_batch(directory):
  path = directory / "labels/val/06.png"
  Image.fromarray(pairs_on_disk.mask(0, 48, 56)).save(path)
  with pytest.raises(errors.UserError, match=r"06\.png .*mask 56 x 48") as info:
    len(_batches(directory))
  assert "data.on_damaged='skip' is for training" in str(info.value)


@pytest.mark.parametrize(
  ("to", "ratios", "message"),
  [
    ({"scale": None, "multiple": 8}, (1.0, 0.5), "32 x 24 at the ratio 0.5, "),
    ({"scale": (2048, 30), "multiple": 1}, (1.0,), "42 x 30, and must see 32"),
    ({"scale": (38, 38), "multiple": 1}, (1.0,), "38 x 27, .*multiple=32, "),
  ],
)
def test_an_image_too_small_for_the_network_is_named(
  directory, to, ratios, message
):
  source = pairs_on_disk.open_pairs(directory, None, "val")

  def count(**changes):
    shown = data.DensePreprocessing(**(to | changes))
    return len(
      data.eval_batches(
        source, batch_size=2, preprocessing=shown, ratios=ratios
      )
    )

  message = rf"val/00\.png.*: of an image of 56 x 40 .* would see {message}"
  with pytest.raises(errors.UserError, match=message):
    count()
  assert count(multiple=32)


def test_sizes_are_read_off_the_heads_of_files(directory, monkeypatch):
  noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
  last = directory / "images/val/07.png"  # 180 kB.
  Image.fromarray(noise).save(last)
  mask = Image.fromarray(np.zeros((200, 300), np.uint8))
  mask.save(directory / "labels/val/07.png")
  heads, wholes = [], []

  def spied(name, seen):
    look = getattr(reading, name)

    def spy(encoded, **options):
      seen.append(len(encoded))
      return look(encoded, **options)

    monkeypatch.setattr(reading, name, spy)

  spied("size_in_head", heads)
  spied("size", wholes)
  expected = sorted([*SIZES, (200, 300)])
  assert sorted(map(tuple, _batches(directory)._sizes())) == expected
  assert max(heads) == 1 << 16
  assert not wholes
  # JPEG and PNG alone have their sizes first for certain.
  Image.fromarray(noise).save(last.with_suffix(".tif"))
  last.unlink()
  assert sorted(map(tuple, _batches(directory)._sizes())) == expected
  assert max(wholes) > 180_000
  # In a JPEG much else may come before.
  comments = b"\xff\xfe\xff\xff" + bytes(0xFFFD)
  Image.fromarray(noise).save(last.with_suffix(".jpg"))
  jpeg = last.with_suffix(".jpg").read_bytes()
  last.with_suffix(".jpg").write_bytes(jpeg[:2] + 2 * comments + jpeg[2:])
  last.with_suffix(".tif").unlink()
  assert sorted(map(tuple, _batches(directory)._sizes())) == expected


def test_a_number_beyond_the_classes_is_named(directory):
  with pytest.raises(errors.UserError, match=r"val/\d+.png.* has the number 3"):
    list(_batches(directory, class_names=pairs_on_disk.CLASSES[:3]))


def test_images_without_masks_are_void_at_their_own_sizes(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  pixels = np.zeros((40, 56, 3), np.uint8)
  folder = tmp_path / "images/test"
  folder.mkdir(parents=True)
  Image.fromarray(pixels).save(folder / "0.jpg", exif=exif)
  Image.fromarray(pixels).save(folder / "1.bmp")  # No head tells its size.
  # Pillow turns these itself, whatever is asked for.
  Image.fromarray(pixels).save(folder / "2.tif", exif=exif)
  source = pairs_on_disk.open_pairs(tmp_path, None, "test", unlabelled=True)
  for turned, first in ((False, [40, 56]), (True, [56, 40])):
    batches = data.eval_batches(
      source, batch_size=1, preprocessing=TO.replace(exif_rotation=turned)
    )
    found = [batch["size"][0].tolist() for batch in batches]
    assert sorted(found) == sorted([first, [40, 56], [56, 40]])
    assert all((batch["label"] == 255).all() for batch in batches)
    assert sum(int(batch["mask"].sum()) for batch in batches) == 3


def test_exif_rotation_is_named_where_it_explains_the_size(directory):
  exif = Image.Exif()
  exif[0x0112] = 6
  numbers = pairs_on_disk.mask(1, *SIZES[1])
  sideways = np.rot90(pairs_on_disk.picture(numbers))
  path = directory / "images/val/01.png"
  Image.fromarray(np.ascontiguousarray(sideways)).save(path, exif=exif)
  with pytest.raises(errors.UserError, match=r"data\.exif_rotation=True"):
    len(_batches(directory))
  source = pairs_on_disk.open_pairs(directory, None, "val")
  upright = data.eval_batches(
    source, batch_size=2, preprocessing=TO.replace(exif_rotation=True)
  )
  assert len(upright) == len(upright.shapes)
  Image.fromarray(np.rot90(numbers)).save(directory / "labels/val/01.png")
  turned = data.eval_batches(
    source, batch_size=2, preprocessing=TO.replace(exif_rotation=True)
  )
  with pytest.raises(errors.UserError, match=r"data\.exif_rotation=False"):
    len(turned)
