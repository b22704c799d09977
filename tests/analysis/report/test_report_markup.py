"""Strangers' text does not become part of the page."""

import json

from van_jax.analysis.report.markup import element, joined, script_json

HOSTILE = "</td><script>alert('1')</script>&\"<"


def test_text_and_attributes_are_escaped(tree):
  page = tree(element("p", HOSTILE, title=HOSTILE))
  assert page.elements == [("p", {"title": HOSTILE})]
  assert page.text == HOSTILE


def test_markup_is_left_as_it_is(tree):
  page = tree(joined(element("b", "x"), "<i>"))
  assert [name for name, _ in page.elements] == ["b"]
  assert page.text == "x\n<i>"


def test_json_does_not_end_its_script():
  text = script_json(json.dumps({"name": HOSTILE}))
  assert "<" not in text
  assert json.loads(text) == {"name": HOSTILE}


def test_names_that_are_no_utf8_can_be_written():
  name = b"caf\xe9\x00".decode("utf-8", "surrogateescape")
  assert element("b", name) == "<b>caf?</b>"
