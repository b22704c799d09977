"""Trains all combinations of some keys' values, each in a workdir of its own.

python -m van_jax.sweep --config=configs/digits.py --workdir=runs/sweep \
  --axis=schedule.learning_rate=5e-4,1e-3 --axis=seed=0,1,2

Runs that are finished are skipped, those that were begun go on. What follows
-- is given to train.py: -- --distributed

This is the command alone: `van_jax.sweep` is a function, of `van_jax.lab`, and
whoever imports this module gets that.
"""

import sys
from typing import Any, cast

import jax
from absl import app, flags
from ml_collections import config_flags

from van_jax.cli import command, flag_parsing

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "What all runs share: configs/NAME.py, or configs/NAME.py:ARGUMENT. "
  "--config.KEY=VALUE sets a key of it in all of them.",
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder, local or gs://..., below which each run gets a workdir that is "
  "called by its values; runs that are there go on.",
  required=True,
)
_AXIS = flags.DEFINE_multi_string(
  "axis",
  [],
  "KEY=VALUE,VALUE,... of a config's key; several axes make all combinations. "
  "Tuples are written in brackets: model.depths=(1,1,1,1),(2,2,2,2).",
)
_INDEX = flags.DEFINE_string(
  "index",
  None,
  "Number of the one run to do, from 0, the last axis running fastest; or "
  "'auto': what the array job's environment says.",
)
_SCORE = flags.DEFINE_string(
  "score",
  None,
  "The score of the table, such as loss; the task's best one when left out.",
)
_TABLE = flags.DEFINE_bool(
  "table", False, "Print the table of what is there, and run nothing."
)


def main(arguments: list[str], given: list[str], more: list[str]) -> None:
  """Runs the sweep; its table's numbers are the last line, one line of JSON.

  Args:
    arguments: what absl leaves of `given`: the program's name.
    given: all arguments of the sweep.
    more: those for train.py.
  """
  del arguments
  from van_jax.sweeps import array_job, axes, members, run

  # The accelerator is the runs': this process must not hold it.
  jax.config.update("jax_platforms", "cpu")
  outcome = run.Outcome()

  def function():
    planned = members.plan(
      axes.parse(_AXIS.value),
      of_config=flag_parsing.of_config(given),
      workdir=_WORKDIR.value,
      more=more,
    )
    return run.sweep(
      planned,
      outcome,
      index=array_job.index(_INDEX.value, len(planned)),
      score=_SCORE.value,
      only_table=_TABLE.value,
    )

  command.run(function)
  sys.exit(outcome.status)


def _start() -> None:
  given = sys.argv
  at = given.index("--") if "--" in given else len(given)
  sys.argv, more = given[:at], given[at + 1 :]
  own = list(sys.argv)
  flags.mark_flag_as_required("config")
  app.run(
    lambda arguments: main(arguments, own, more),
    flags_parser=command.parse_flags,
  )


if __name__ == "__main__":
  _start()
else:  # A tool that imports all modules would put this one in its place.
  from van_jax import lab

  sys.modules[__name__] = cast(Any, lab.sweep)
