"""Which of a model's classes each class of a data set is."""

import numpy as np
import pytest

from van_jax.evaluation import class_map

OURS = ("cat", "dog", "emu")


def same(found, expected):
  np.testing.assert_array_equal(found, expected)
  assert found.dtype == np.int32


def test_equal_names_in_another_order_are_matched_by_name():
  same(class_map.match(("emu", "cat", "dog"), OURS), [2, 0, 1])


def test_some_of_the_names_are_matched():
  same(class_map.match(("dog",), OURS), [1])


def test_other_names_are_refused_with_a_few_of_both():
  message = (
    r"'hund', 'katze' are not among .*\('cat', 'dog', 'emu'\).*class_map"
  )
  with pytest.raises(ValueError, match=message) as info:
    class_map.match(("cat", "hund", "katze"), OURS)
  assert "--trust_class_order" in str(info.value)
  assert "\n" not in str(info.value)


def test_trusting_the_order_is_no_remedy_for_another_number_of_classes():
  with pytest.raises(ValueError, match="hund") as info:
    class_map.match(("hund", "katze"), OURS)
  assert "--trust_class_order" not in str(info.value)


def test_other_lists_of_names_are_looked_at_too():
  ids = ("n1", "n2", "n3")
  found = class_map.match(("n3", "n1"), OURS, other_names=(ids,))
  same(found, [2, 0])


def test_the_numbers_of_all_classes_are_numbers_in_whatever_order():
  same(
    class_map.match(("0", "10", "2", *"13456789"), "abcdefghijk"),
    [0, 10, 2, 1, 3, 4, 5, 6, 7, 8, 9],
  )


def test_numbers_that_are_not_of_all_classes_are_refused():
  with pytest.raises(ValueError, match="'1', '2', '3'"):
    class_map.match(("1", "2", "3"), OURS)


def test_a_name_that_two_classes_have_is_refused():
  with pytest.raises(ValueError, match=r"'crane' are names that .* twice"):
    class_map.match(("crane",), ("crane", "dog", "crane"))


def test_a_file_says_which_is_which(tmp_path):
  path = tmp_path / "map.csv"
  path.write_text("\ufeffhund, dog\n\nkatze\t0\n", encoding="utf-8")
  given = class_map.read(path)
  found = class_map.match(("emu", "hund", "katze"), OURS, given=given)
  same(found, [2, 1, 0])


def test_names_with_commas_follow_the_first_one(tmp_path):
  (tmp_path / "map").write_text("fish,tench, Tinca tinca\n")
  assert class_map.read(tmp_path / "map") == {"fish": "tench, Tinca tinca"}


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("hund\n", "line 1, 'hund', is none"),
    ("hund,\n", "is none"),
    ("hund,dog\nhund,cat\n", "line 2, 'hund,cat', names a class again"),
  ],
)
def test_a_line_of_another_form_is_refused(tmp_path, text, message):
  (tmp_path / "map").write_text(text)
  with pytest.raises(ValueError, match=message):
    class_map.read(tmp_path / "map")


def test_a_file_that_is_not_there_is_named(tmp_path):
  with pytest.raises(ValueError, match=r"class_map=.*nowhere must be a text"):
    class_map.read(tmp_path / "nowhere")


def test_a_class_that_the_model_has_not_is_refused():
  with pytest.raises(ValueError, match="'hund' is 'wolf', which is no class"):
    class_map.match(("hund",), OURS, given={"hund": "wolf"})
