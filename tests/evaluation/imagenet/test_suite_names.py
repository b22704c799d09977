"""The table of suites, and how a user names them."""

import pytest

from van_jax.evaluation.imagenet import suites


def test_names_come_once_and_in_the_order_given():
  assert suites.parse_names("c, val,c") == ("c", "val")


@pytest.mark.parametrize("names", ["", "val,", "imagenet-a", "val;a"])
def test_a_name_that_is_no_suites_is_an_error(names):
  with pytest.raises(ValueError, match="the suites are val, real, v2, "):
    suites.parse_names(names)


def test_a_and_r_have_200_classes_and_all_others_1000():
  some = {n for n, s in suites.SUITES.items() if s.num_classes == 200}
  assert some == {"a", "r"}
  others = [s for n, s in suites.SUITES.items() if n not in some]
  assert {s.num_classes for s in others} == {1000}
