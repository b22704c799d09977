"""Evaluation batches: every example once."""

import numpy as np
import pytest

from van_jax import data
from van_jax.data.pipeline import grouping
from van_jax.data.sources import tfds

KINDS = ["memory", "records", "files"]


# Files come in order as what lies in memory does, by `IndexedSplit`.
@pytest.fixture(params=KINDS[:2])
def source(request, digits_directory, monkeypatch) -> data.Source:
  if request.param == "files":
    return request.getfixturevalue("open_folder")(train_split=None)
  if request.param == "records":
    monkeypatch.setattr(tfds, "MAX_BYTES_IN_MEMORY", 0)
  return data.open_source(
    name="digits",
    directory=digits_directory,
    train_split=None,
    eval_split="test[10:25]",  # 15 examples, as in the folder.
  )


def _examples(batches):
  return [
    (int(label), image.tobytes())
    for batch in batches
    for image, label, real in zip(
      batch["image"], batch["label"], batch["mask"], strict=True
    )
    if real
  ]


@pytest.mark.parametrize("source", KINDS, indirect=True)
def test_every_example_comes_once_in_the_splits_order(source, preprocessing):
  whole = data.eval_batches(source, batch_size=15, preprocessing=preprocessing)
  small = data.eval_batches(source, batch_size=4, preprocessing=preprocessing)
  assert len(set(_examples(whole))) == 15
  assert _examples(small) == _examples(whole)


def test_less_than_a_batch_is_one_data_set(digits, preprocessing, monkeypatch):
  built, map_batches = [], grouping.map_batches

  def recorded(*args, batch_size, **options):
    built.append(batch_size)
    return map_batches(*args, batch_size=batch_size, **options)

  monkeypatch.setattr(grouping, "map_batches", recorded)
  batches = data.eval_batches(
    digits, batch_size=1000, preprocessing=preprocessing
  )
  assert len(_examples(batches)) == digits.num_eval
  assert built == [digits.num_eval]  # Each takes a second to build.


@pytest.mark.parametrize("source", KINDS, indirect=True)
def test_last_batch_is_filled_with_masked_zeros(source, preprocessing):
  *_, last = data.eval_batches(
    source, batch_size=4, preprocessing=preprocessing
  )
  assert last["mask"].tolist() == [True, True, True, False]
  assert last["image"].shape == (4, 32, 32, 3)
  assert not last["image"][3].any()
  assert last["label"][3] == 0


# 15 examples: 4 each but the last 3; 2 each, and none for the last process.
@pytest.mark.parametrize(("count", "batch_size"), [(4, 12), (8, 8)])
def test_processes_share_the_examples_in_as_many_batches(
  source, preprocessing, count, batch_size
):
  parts = [
    data.eval_batches(
      source,
      batch_size=batch_size,
      preprocessing=preprocessing,
      process_index=i,
      process_count=count,
    )
    for i in range(count)
  ]
  read = [list(part) for part in parts]
  lengths = {len(batches) for batches in read} | {len(part) for part in parts}
  assert len(lengths) == 1
  whole = data.eval_batches(source, batch_size=15, preprocessing=preprocessing)
  together = [row for part in read for row in _examples(part)]
  assert sorted(together) == sorted(_examples(whole))


def test_processes_without_an_example_return_masked_batches(
  open_folder, preprocessing
):
  """15 examples over 14 processes: two each, and none from the ninth on."""
  batches = data.eval_batches(
    open_folder(),
    batch_size=14,
    preprocessing=preprocessing,
    process_index=9,
    process_count=14,
  )
  masks = [batch["mask"].tolist() for batch in batches]
  assert masks == [[False], [False]]


def test_batches_can_be_read_again(source, preprocessing):
  batches = data.eval_batches(source, batch_size=4, preprocessing=preprocessing)
  assert _examples(batches) == _examples(batches)


def test_dtypes_are_uint8_int32_and_bool(source, preprocessing):
  for batch in data.eval_batches(
    source, batch_size=4, preprocessing=preprocessing
  ):
    dtypes = [batch[name].dtype for name in ("image", "label", "mask")]
    assert dtypes == [np.uint8, np.int32, np.bool_]


def test_labels_follow_sorted_class_names(open_folder, preprocessing):
  source = open_folder(train_split=None)
  (batch,) = data.eval_batches(
    source, batch_size=15, preprocessing=preprocessing
  )
  assert source.class_names == ("ant", "bee", "cat")
  assert batch["label"].tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_evaluation_needs_an_evaluation_split(open_folder, preprocessing):
  with pytest.raises(ValueError, match="eval_split=None"):
    data.eval_batches(
      open_folder(eval_split=None), batch_size=4, preprocessing=preprocessing
    )


def test_batch_size_must_be_divisible_by_processes(open_folder, preprocessing):
  with pytest.raises(ValueError, match=r"batch_size=5 .*process_count=2"):
    data.eval_batches(
      open_folder(), batch_size=5, preprocessing=preprocessing, process_count=2
    )
