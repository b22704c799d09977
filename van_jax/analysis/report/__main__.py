"""Writes a page about one run or several: curves, scores, configs, pictures.

python -m van_jax.analysis.report WORKDIR... --output=report.html

The page is one file that loads nothing. Each run's weights are scored on its
evaluation split for confusions and pictures; --images=0 leaves that out.
"""

import argparse
import sys
from collections.abc import Sequence

from absl import app

from van_jax.cli import command


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m van_jax.analysis.report",
    description="Writes a page about one run or several.",
  )
  parser.add_argument(
    "workdirs",
    nargs="+",
    metavar="WORKDIR",
    help="folder that train.py was given as --workdir",
  )
  parser.add_argument("--output", required=True, help="HTML file to write")
  parser.add_argument(
    "--images",
    type=int,
    default=8,
    help="right and wrong predictions to show of each run, with maps; 0 scores "
    "nothing; default 8",
  )
  parser.add_argument(
    "--step",
    default="latest",
    help="which checkpoint is scored: latest, best, or a number",
  )
  parser.add_argument(
    "--data_directory", help="where the data lies, if not where the config says"
  )
  parser.add_argument(
    "--overwrite", action="store_true", help="replace the file if it is there"
  )
  return parser


def main(argv: Sequence[str] | None = None) -> None:
  """Writes the page; what was written is the last line, one line of JSON."""
  flags = _parser().parse_args(argv)

  def write():
    from van_jax import experiment

    return experiment.write_report(
      flags.workdirs,
      output=flags.output,
      images=flags.images,
      step=flags.step,
      data_directory=flags.data_directory,
      overwrite=flags.overwrite,
    )

  command.run(write)


if __name__ == "__main__":
  # absl's part is the log; it knows no arguments without a name.
  app.run(
    lambda _: main(sys.argv[1:]),
    argv=sys.argv[:1],
    flags_parser=command.parse_flags,
  )
