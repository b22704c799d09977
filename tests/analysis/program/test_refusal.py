"""What compilers say when memory does not suffice."""

import pytest

from van_jax.analysis import program

GIB = 1 << 30


@pytest.mark.parametrize(
  ("text", "required", "available"),
  [
    (
      "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required "
      "for HLO temporaries (27.56G) exceeds available HBM (15.75G).",
      27.56,
      15.75,
    ),
    (
      "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required "
      "(27.56G) exceeds available HBM (15.75G)",
      27.56,
      15.75,
    ),
    (
      "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory "
      "in memory space hbm. Used 21.95G of 15.48G hbm.\n Exceeded hbm capacity",
      21.95,
      15.48,
    ),
    (
      "RESOURCE_EXHAUSTED: Aborting compilation early because it's unlikely to "
      "have enough memory. Requires 3.84T, has 90.96G available.",
      3840 * 1.024,
      90.96,
    ),
    (
      "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 3.05GiB.",
      3.05,
      None,
    ),
    (
      "RESOURCE_EXHAUSTED: Out of memory allocating 1073741824 bytes.",
      1,
      None,
    ),
  ],
)
def test_a_refusal_says_what_is_needed_and_what_there_is(
  text, required, available
):
  found = program.refusal(ValueError(text))
  assert found is not None
  # Rounded to whole bytes.
  assert found.required_bytes == pytest.approx(required * GIB, abs=1)
  if available is None:
    assert found.available_bytes is None
  else:
    assert found.available_bytes == pytest.approx(available * GIB, abs=1)


@pytest.mark.parametrize(
  "text",
  [
    "INVALID_ARGUMENT: No such compile option: xla_nonsense",
    "RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem while "
    "allocating on stack for %kernel.18",
  ],
)
def test_other_errors_are_no_refusal(text):
  assert program.refusal(text) is None
