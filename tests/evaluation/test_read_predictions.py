"""Tables of predictions are read as they were written."""

import numpy as np
import pytest

from van_jax import errors
from van_jax.evaluation import answer_files
from van_jax.evaluation.answers import NO_ANSWER, Answers

NAMES = ("tench, Tinca", 'a "dog"', "cat")
ANSWERS = Answers(
  labels=np.array([2, -1, 0], np.int32),
  classes=np.array([[2, 0], [1, 2], [NO_ANSWER, NO_ANSWER]], np.int32),
  probabilities=np.array([[0.75, 0.25], [0.5, 0.5], [np.nan] * 2], np.float32),
)


@pytest.fixture
def table(tmp_path):
  """Returns the path of a table of three images."""
  path = str(tmp_path / "answers.csv")
  images = ["a.jpg", "b\nc.jpg", "\udcff.jpg"]
  answer_files.write_predictions(path, ANSWERS, NAMES, images.__getitem__)
  return path


def test_what_was_written_comes_back(table):
  images, answers, names = answer_files.read_predictions(table, NAMES)
  assert images == ("a.jpg", "b\nc.jpg", "\udcff.jpg")
  assert names == NAMES
  for ours, expected in zip(answers, ANSWERS, strict=True):
    np.testing.assert_array_equal(ours, expected)
    assert ours.dtype == expected.dtype


def test_classes_are_those_in_the_table_where_none_are_given(table):
  _, answers, names = answer_files.read_predictions(table)
  assert names == ('a "dog"', "cat", "tench, Tinca")
  np.testing.assert_array_equal(answers.labels, [1, -1, 2])


def test_classes_of_other_weights_are_refused(table):
  with pytest.raises(errors.UserError, match="names the class 'cat'"):
    answer_files.read_predictions(table, ("tench, Tinca", 'a "dog"'))


@pytest.mark.parametrize(
  "text", ["", "image,top1\n", "image,label,top1\na,b\n"]
)
def test_other_tables_are_refused(text, tmp_path):
  path = tmp_path / "answers.csv"
  path.write_text(text)
  with pytest.raises(errors.UserError, match="no table of predictions"):
    answer_files.read_predictions(str(path))


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(errors.UserError, match=r"none\.csv cannot be read"):
    answer_files.read_predictions(str(tmp_path / "none.csv"))
