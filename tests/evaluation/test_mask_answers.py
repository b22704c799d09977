"""Masks of an evaluation: each image once, at its own size, as it is scored."""

import dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from van_jax import errors, parallel, tasks
from van_jax.evaluation import evaluator, mask_answers, mask_files, views

SIZE = 8  # Of a batch; there are seven images.


def collect(variables, **looks):
  """Returns the masks by image, and the sums, on eight devices."""
  found = {}
  collector = mask_answers.Collector(found.__setitem__)
  task = tasks.create_task(
    name="segmentation",
    options={},
    num_classes=dense.CLASSES,
    mean=(0.5,) * 3,
    std=(0.2,) * 3,
    loss=None,
  )
  apply = dense.Dense().apply
  step = evaluator.make_eval_step(
    apply=views.make_apply(apply, **looks) if looks else apply,
    inputs=task.inputs,
    sums=mask_answers.beside(task.sums),
    mesh=parallel.create_mesh(),
  )
  indices = np.array([[3, 5, 0, 1, 2, 4, 6, -1]])
  batches = dense.batches(*dense.examples(), SIZE)
  sums = evaluator.evaluate(
    collector.watch(step),
    variables,
    mask_answers.numbered(batches, indices),
    dict,
  )
  collector.finish()
  return {int(i): found[i] for i in indices[0] if i in found}, sums


def matrix_of(found):
  """Returns the confusion matrix of masks, in the order of the examples."""
  counts = np.zeros((dense.CLASSES, dense.CLASSES), int)
  for mask, true in zip(found.values(), dense.examples()[1], strict=True):
    counted = true != 255
    np.add.at(counts, (true[counted], mask[counted]), 1)
  return counts


@pytest.mark.parametrize("looks", [{}, {"flip": True}])
def test_masks_are_what_is_scored_and_as_large_as_their_labels(looks):
  found, sums = collect(dense.variables(), **looks)
  assert sorted(found) == list(range(7))  # And no padding.
  shapes = [mask.shape for mask in found.values()]
  assert shapes == [label.shape for label in dense.examples()[1]]
  np.testing.assert_array_equal(matrix_of(found), sums["confusion"])
  assert "masks" not in sums


def test_where_there_is_no_answer_there_is_no_class():
  nans = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), dense.variables())
  found, sums = collect(nans)
  assert all((mask == mask_answers.NO_CLASS).all() for mask in found.values())
  assert sums["unanswered"].sum() == sums["pixels"]


def step_of(collector, count):
  """Returns the step of an evaluation of images 0, 1, ..., the last padding."""
  masks = {
    "index": np.arange(count),
    "mask": np.arange(count) < count - 1,
    "size": np.full((count, 2), (2, 3)),
    "classes": np.zeros((count, 2, 3), np.uint8),
  }
  return collector.watch(lambda variables, batch: {"masks": masks, "count": 1})


def test_of_several_processes_each_writes_its_own(monkeypatch):
  monkeypatch.setattr(jax, "process_count", lambda: 3)
  written = []
  for process in range(3):
    monkeypatch.setattr(jax, "process_index", lambda process=process: process)
    found = {}
    collector = mask_answers.Collector(found.__setitem__)
    step_of(collector, 8)(None, None)
    collector.finish()
    written.append(sorted(found))
  assert written == [[0, 3, 6], [1, 4], [2, 5]]


def test_an_error_of_writing_ends_the_evaluation():
  def write(number, mask):
    raise errors.UserError("the disk is full")

  collector = mask_answers.Collector(write)
  assert step_of(collector, 2)(None, None) == {"count": 1}
  with pytest.raises(errors.UserError, match="the disk is full"):
    collector.finish()


def test_a_mask_is_a_grey_png_below_folders_of_its_name(tmp_path):
  numbers = np.arange(256, dtype=np.uint8).reshape(8, 32)
  mask_files.write_mask(str(tmp_path / "out"), "city/a.b", numbers)
  with Image.open(tmp_path / "out/city/a.b.png") as image:
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), numbers)


def test_masks_go_into_a_new_or_an_empty_folder(tmp_path):
  for path in (tmp_path / "new" / "inner", tmp_path):
    mask_files.check_folder(str(path), "predictions")
  (tmp_path / "mine").write_text("")
  for path in (tmp_path, tmp_path / "mine"):
    with pytest.raises(errors.UserError, match="must be a new or an empty"):
      mask_files.check_folder(str(path), "predictions")
  with pytest.raises(errors.UserError, match="masks are a file an image"):
    mask_files.check_folder(str(tmp_path / "p.csv"), "predictions")
  with pytest.raises(errors.UserError, match="cannot be written"):
    mask_files.check_folder(str(tmp_path / "mine" / "x"), "predictions")


def test_a_mask_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / "a.png").mkdir()
  with pytest.raises(errors.UserError, match=r"a\.png could not be written"):
    mask_files.write_mask(str(tmp_path), "a", np.zeros((2, 2), np.uint8))
