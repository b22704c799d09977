"""A disk that is full: a line, and what was there before is all that is there.

No file of these processes may grow beyond a limit, which needs no rights and no
disk; the system says EFBIG then, which counts as lack of space.
"""

import pathlib
import subprocess
import sys

import published_files as published
import pytest

from van_jax import bundle as bundle_lib
from van_jax.interop import convert as conversion

# Each runs as a script does: what ends up on the terminal is part of it.
_SCRIPT = """
import pathlib, resource, signal, sys
from absl import logging
from van_jax.cli import command
from van_jax.evaluation import answer_files
from van_jax.experiment import scoring
from van_jax import bundle as bundle_lib
from van_jax.interop import convert
folder = pathlib.Path(sys.argv[1])
logging.use_absl_handler()  # As app.run does.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # An error instead.
loaded = bundle_lib.load_bundle(folder / 'bundle')
def limited(size, write):
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, -1))
  def run():
    write()
    return {}
  print(f'--- {size}', file=sys.stderr)
  try:
    command.run(run)
  except SystemExit as end:
    print(f'status {end.code}', file=sys.stderr)
  left = sorted(path.name for path in folder.iterdir())
  print('left', *left, file=sys.stderr)
there, back = folder / 'bundle', folder / 'output'
limited(20_000, lambda: bundle_lib.save_bundle(
    back, model=loaded.model, variables=loaded.variables,
    preprocessing=loaded.preprocessing, source={}))
limited(20_000, lambda: convert.convert(input=folder / 'weights', output=back))
limited(20_000, lambda: convert.convert(
    input=folder / 'weights', output=there, overwrite=True))
for to in ('official', 'mmpretrain', 'huggingface'):
  limited(20_000, lambda: convert.convert_back(input=there, output=back, to=to))
limited(10, lambda: scoring.write(back, {'top1': 0.123456789}))
"""
_WRITERS = (
  "a bundle",
  "a conversion",
  "a conversion in an old one's place",
  "official",
  "mmpretrain",
  "huggingface",
  "scores",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Returns a folder with weights and their bundle."""
  folder = tmp_path_factory.mktemp("full")
  published.write_official(folder / "weights", published.official())
  conversion.convert(input=folder / "weights", output=folder / "bundle")
  return folder


@pytest.fixture(scope="module")
def said(folder):
  """Returns what each writer said on a full disk, and what was left."""
  root = pathlib.Path(__file__).parent.parent.parent
  process = subprocess.run(
    [sys.executable, "-c", _SCRIPT, str(folder)],
    capture_output=True,
    text=True,
    timeout=100,
    cwd=root,
  )
  assert process.returncode == 0, process.stderr
  _, *parts = process.stderr.split("--- ")
  return dict(zip(_WRITERS, parts, strict=True))


@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX")
@pytest.mark.parametrize("writer", _WRITERS)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
  said, folder, writer
):
  text = said[writer]
  name = "bundle" if "in an old one's" in writer else "output"
  lines = [line for line in text.splitlines() if "error:" in line]
  assert len(lines) == 1, text
  assert lines[0].startswith(f"error: {folder / name} could not be written: F")
  assert "Traceback" not in text
  assert "status 1\n" in text
  assert text.endswith("left bundle weights\n")
  bundle_lib.load_bundle(folder / "bundle")  # As it was.
