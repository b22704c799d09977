"""Each notebook runs from a clean kernel, at its small setting.

What is kept in them is of the full setting; their outputs are not compared, as
they are measured.
"""

import pathlib
import re

import nbformat
import pytest

nbclient = pytest.importorskip("nbclient")

FOLDER = pathlib.Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_SECONDS = 1800  # Of a cell, on a busy machine; quiet, all take below 90.
_MEGABYTE = 1_000_000


def read(path):
  return nbformat.read(path, as_version=4)


def test_there_are_notebooks():
  assert len(NOTEBOOKS) >= 7


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_at_its_small_setting(
  path, tmp_path, monkeypatch, compilation_cache
):
  variables = {
    "VAN_JAX_SMALL": "1",
    "PYTHONPATH": str(FOLDER.parent),
    # One device, as a reader has; what is compiled twice is kept.
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "JAX_COMPILATION_CACHE_DIR": str(compilation_cache),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
  }
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  client = nbclient.NotebookClient(
    read(path),
    timeout=_SECONDS,
    kernel_name="python3",
    resources={"metadata": {"path": str(tmp_path)}},
  )
  client.execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_outputs_are_kept_whole_and_small(path):
  assert path.stat().st_size < _MEGABYTE
  nbformat.validate(read(path))
  cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
  assert [cell.execution_count for cell in cells] == list(
    range(1, len(cells) + 1)
  )
  for cell in cells:
    assert not any(out.output_type == "error" for out in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_opens_with_a_question_and_ends_with_what_was_found(path):
  cells = read(path).cells
  assert "**Question:" in cells[0].source
  assert cells[-1].source.startswith("## What was found")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_formulas_are_plain_as_the_site_sets_none(path):
  """What sets TeX would come from another host, so the site leaves it out."""
  for cell in read(path).cells:
    if cell.cell_type == "markdown":
      without_code = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.S)
      assert "$" not in without_code, cell.source
