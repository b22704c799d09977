"""The documentation's pages: all in the navigation, and no link leads astray.

`make docs` builds the site, and takes warnings for errors; this is what can be
told without it.
"""

import importlib
import pathlib
import re

import pytest
import yaml

import van_jax

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
# Pages of the site that are files elsewhere.
BROUGHT = {"index.md": "README.md", "changelog.md": "CHANGELOG.md"}
FENCES = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def name_of(path):
  return path.relative_to(ROOT).as_posix()


def navigation(entries):
  """Yields the pages that a nav of mkdocs.yml names."""
  for entry in entries:
    for page in entry.values():
      yield from navigation(page) if isinstance(page, list) else [page]


def anchors(page):
  """Returns the anchors of a page's headings, as the site makes them."""
  text = FENCES.sub("", page.read_text())
  titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
  return {
    re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", t).strip().lower())
    for t in titles
  }


def test_the_navigation_names_each_page_once():
  site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
  named = list(navigation(site["nav"]))
  assert sorted(named) == sorted([*BROUGHT, *(page.name for page in PAGES)])


@pytest.mark.parametrize(
  "page", [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md"], ids=name_of
)
def test_links_lead_to_pages_and_headings(page):
  for link in re.findall(r"\]\(([^)\s]+)\)", FENCES.sub("", page.read_text())):
    if re.match(r"[a-z]+:", link):
      continue
    path, _, anchor = link.partition("#")
    target = page if not path else page.parent / path
    if target.parent == DOCS:
      target = ROOT / BROUGHT.get(target.name, f"docs/{target.name}")
    assert target.exists(), link
    assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("name", van_jax.__all__)
def test_the_python_page_has_every_public_name(name):
  lines = (DOCS / "api.md").read_text().splitlines()
  assert f"::: van_jax.{name}" in lines


def objects():
  found = (re.findall(r"^::: (\S+)$", p.read_text(), re.M) for p in PAGES)
  return sorted(path for paths in found for path in paths)


@pytest.mark.parametrize("path", objects())
def test_what_is_documented_is_there(path):
  parts = path.split(".")
  for length in range(len(parts), 0, -1):
    try:
      found = importlib.import_module(".".join(parts[:length]))
    except ModuleNotFoundError:
      continue
    for name in parts[length:]:
      found = getattr(found, name)
    assert found.__doc__
    return
  pytest.fail(f"{path} is not there")


def test_files_to_edit_are_there():
  text = (DOCS / "which_file.md").read_text()
  paths = re.findall(r"`([\w./]+(?:\.py|\.sh|\.yml|/))`", text)
  assert len(paths) > 40
  assert [path for path in paths if not (ROOT / path).exists()] == []
