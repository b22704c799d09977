"""ReaL's file of labels: what is read, and what is refused."""

import json

import pytest

from van_jax.evaluation.imagenet import real


def test_the_file_becomes_a_table_of_50000_rows():
  lists = [[] for _ in range(50_000)]
  lists[0], lists[49_999] = [999, 0], [5]
  rows = real.parse(json.dumps(lists), name="real.json", num_classes=1000)
  assert rows.shape == (50_000, 2)
  assert rows[0].tolist() == [999, 0]
  assert rows[49_999].tolist() == [5, -1]
  assert (rows[1:49_999] == -1).all()


@pytest.mark.parametrize(
  ("lists", "message"),
  [
    ([[]] * 49_999, "a list of 50000 lists.* has 49999"),
    ({"a": 1}, "a list of 50000 lists.* has dict"),
    ([[]] * 49_999 + [[1000]], r"entry 50000, \[1000\], .* from 0 to 999"),
    ([[-1]] + [[]] * 49_999, r"entry 1, \[-1\]"),
    ([[True]] + [[]] * 49_999, r"entry 1, \[True\]"),
    ([3] + [[]] * 49_999, "entry 1, 3"),
    (["12"] + [[]] * 49_999, "entry 1, 12"),
    ([[]] * 50_000, "no label at all"),
  ],
)
def test_a_file_that_is_something_else_is_an_error(lists, message):
  with pytest.raises(ValueError, match=message):
    real.parse(json.dumps(lists), name="real.json", num_classes=1000)


def test_a_file_that_is_cut_off_is_an_error():
  with pytest.raises(ValueError, match=r"real\.json is not JSON"):
    real.parse("[[1], [2", name="real.json", num_classes=1000)
