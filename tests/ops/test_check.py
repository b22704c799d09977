"""The command that compares our depthwise convolutions with XLA's."""

import re

import pytest

from van_jax.ops import check, depthwise

TINY = ["--models=van_b0", "--image_size=32", "--batch=1", "--rounds=1"]


every_shape = check.shapes


@pytest.fixture(autouse=True)
def _few(monkeypatch):
  """Keeps two of the shapes, as XLA is slow on CPUs."""
  monkeypatch.setattr(check, "shapes", lambda *args: every_shape(*args)[-2:])


def test_shapes_are_those_of_all_stages():
  found = every_shape(["van_b0"], 224)
  assert len(found) == 4 * 3
  assert found[0] == (56, 256, 3, 1)
  assert found[-2:] == [(7, 256, 7, 3), (7, 256, 5, 1)]


def test_a_table_is_printed(capsys):
  check.main(TINY)
  title, blank, header, line, *rows = capsys.readouterr().out.splitlines()
  assert title.startswith("numba_cpu on cpu")
  assert not blank
  assert header.count("|") == line.count("|") == 10
  assert [row.split("|")[5].strip() for row in rows] == [
    "forward",
    "backward",
  ] * 2
  for row in rows:
    assert re.match(r"\| 1 \| 256 \| [57] \| [13] \|", row)
    assert "WRONG" not in row


def test_wrong_results_are_marked(capsys, monkeypatch):
  right = depthwise.BY_NAME["numba_cpu"]
  monkeypatch.setitem(
    depthwise.BY_NAME,
    "numba_cpu",
    lambda *args, **named: 2 * right(*args, **named),
  )
  check.main(TINY)
  rows = capsys.readouterr().out.splitlines()[4:]
  assert all("WRONG" in row for row in rows)


@pytest.mark.parametrize(
  ("argument", "message"),
  [("--models=van_b9", "van_b9"), ("--rounds=0", "at least 1")],
)
def test_bad_arguments_are_named(argument, message, capsys):
  with pytest.raises(SystemExit):
    check.main([*TINY, argument])
  assert message in capsys.readouterr().err
