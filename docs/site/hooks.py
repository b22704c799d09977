"""What the site takes from outside of docs/: README, changelog, notebooks."""

import pathlib
import re
from typing import Any

from mkdocs import exceptions, plugins
from mkdocs.structure.files import File, Files

_ROOT = pathlib.Path(__file__).parents[2]
_BROUGHT = {"index.md": "README.md", "changelog.md": "CHANGELOG.md"}
# What notebooks' pages would load from other hosts.
_FOREIGN = re.compile(
  r"<script[^>]*\bsrc=\"(?:\"|https?://)[^>]*>\s*</script>"
  r"|<script type=\"module\">(?:(?!</script>).)*https?://"
  r"(?:(?!</script>).)*</script>",
  re.DOTALL,
)
_LOADS = re.compile(
  r"<(script|img|iframe|source|video)\b[^>]*\bsrc=[\"']?(https?:)?//[^>]*"
  r"|<link\b[^>]*\bhref=[\"']?(https?:)?//[^>]*"
  r"|(url\(|@import )[\"']?(https?:)?//[^)]*"
)


def on_config(config: Any) -> Any:
  """Adds a section of the notebooks that there are, before the reference."""
  if pages := [f"notebooks/{path.name}" for path in notebooks()]:
    titles = [next(iter(entry)) for entry in config.nav]
    config.nav.insert(titles.index("Reference"), {"Notebooks": pages})
  return config


@plugins.event_priority(50)  # Before mkdocs-jupyter looks for notebooks.
def on_files(files: Files, config: Any) -> Files:
  """Adds the pages that lie elsewhere in the repository."""
  for page, source in _BROUGHT.items():
    text = (_ROOT / source).read_text(encoding="utf-8")
    files.append(File.generated(config, page, content=in_site(text)))
  for path in notebooks():
    name = f"notebooks/{path.name}"
    directory_urls = config.use_directory_urls
    files.append(File(name, str(_ROOT), config.site_dir, directory_urls))
  return files


def on_page_content(html: str, **_: Any) -> str:
  """Takes out scripts of other hosts, and turns notebooks' links to pages."""
  html = _FOREIGN.sub("", html)
  return re.sub(r"href=\"\.\./docs/(\w+)\.md", r'href="../\1.html', html)


def on_post_build(config: Any) -> None:
  """Raises an error if a page would load anything from another host."""
  site = pathlib.Path(config.site_dir)
  loads = [
    f"{path.relative_to(site)}: {found.group()}"
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]
    for found in _LOADS.finditer(path.read_text(encoding="utf-8"))
  ]
  if loads:
    raise exceptions.PluginError("\n".join(["loaded from elsewhere:", *loads]))


def notebooks() -> list[pathlib.Path]:
  """Returns the notebooks, in the order of their names.

  Of a pair, NAME.ipynb has the outputs; NAME.py is one if it has cells.
  """
  folder = _ROOT / "notebooks"
  scripts = [p for p in folder.glob("*.py") if "# %%" in p.read_text()]
  kept = {path.stem: path for path in [*scripts, *folder.glob("*.ipynb")]}
  return [kept[stem] for stem in sorted(kept)]


def in_site(text: str) -> str:
  """Returns a text whose links into docs/ are links of the site."""
  return re.sub(r"\]\(docs/", "](", text)
