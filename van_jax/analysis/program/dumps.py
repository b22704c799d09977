"""The files in which a TPU's compiler writes its final schedules.

"estimated_cycles" of HLO are another thing, up to 14 times as many. A bundle
issues in one cycle; stalls on memory are in no schedule.
"""

import pathlib
import re
from collections.abc import Iterator

BUNDLE = re.compile(r"\s*0x[0-9a-f]+\s+([A-Z]{2})?\s*:\s*(>*)\s")
EXIT = re.compile(r"scmp\.ge\.s32\.totalorder %\w+, (\d+) /\* loop exit test")
STAGES = 2  # Turns in which a pipelined loop does not compute.
_FILE = re.compile(r"\d+-(.*)-\d+-final_bundles\.txt")


def libtpu_arguments(folder: str | pathlib.Path) -> str:
  """Returns what makes libtpu write its schedules into a folder.

  It goes into the environment's LIBTPU_INIT_ARGS before libtpu is loaded, which
  reads it once. Empty the folder before each compilation.

  Args:
    folder: that exists.
  """
  return (
    f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true "
    "--xla_jf_dump_llo_pass_label_regex=final_bundles"
  )


def files(folder: str | pathlib.Path) -> Iterator[tuple[str, pathlib.Path]]:
  """Yields (operation, its schedule) of each that a folder has."""
  for file in pathlib.Path(folder).iterdir():
    if match := _FILE.fullmatch(file.name):
      yield match[1], file
