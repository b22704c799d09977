"""Options of a row: that they are its function's arguments, and no others."""

import pytest

from van_jax import signatures


def strict(given, *, size, colour="red", **others):
  """Stands for a row with an option that has no default."""


def chosen(*, rate: float | None = None, other: dict | None = None):
  """Stands for a row with options of several types."""


def test_arguments_are_options():
  signatures.check(strict, {"size": 2, "colour": "blue"}, "x", given=("given",))


def test_another_name_is_an_error_with_the_nearest():
  match = r"x\.sice is no option of .*\.strict; did you mean size\? .*colour"
  with pytest.raises(ValueError, match=match):
    signatures.check(strict, {"sice": 2}, "x", given=("given",))


def test_what_is_given_is_no_option():
  with pytest.raises(ValueError, match=r"x\.given is no option"):
    signatures.check(strict, {"given": 1, "size": 2}, "x", given=("given",))


def test_an_option_without_a_default_must_be_set():
  with pytest.raises(ValueError, match=r"x\.size is missing"):
    signatures.check(strict, {}, "x", given=("given",))


@pytest.mark.parametrize("rate", [None, 1, 0.5])
def test_a_choice_of_types_takes_each(rate):
  signatures.check(chosen, {"rate": rate, "other": object()}, "x")


def test_a_choice_of_types_takes_no_other():
  match = r"^x\.rate='high' must be float or None\."
  with pytest.raises(ValueError, match=match):
    signatures.check(chosen, {"rate": "high"}, "x")


def test_only_what_is_declared_is_handed_over():
  offered = {"size": 3, "weight": 4}
  assert signatures.declared(strict, offered) == {"size": 3}
