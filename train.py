"""Trains a VAN.

python train.py --config=configs/digits.py --workdir=runs/digits
"""

import importlib.util
import runpy
import sys

# By its path: to import van_jax takes seconds, and signals do not wait.
_found = importlib.util.find_spec("van_jax")
assert _found is not None
assert _found.submodule_search_locations
runpy.run_path(f"{_found.submodule_search_locations[0]}/cli/first_second.py")

from absl import app, flags  # noqa: E402
from ml_collections import config_flags  # noqa: E402

from van_jax.cli import command, process_flags  # noqa: E402

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The run: configs/NAME.py, or configs/NAME.py:ARGUMENT. --config.KEY=VALUE "
  "sets a key of it; `python -m van_jax keys` prints all keys, as "
  "configs/default.py has them.",
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder of the run, local or gs://...; a run that is there goes on.",
)
_DRY_RUN = flags.DEFINE_string(
  "dry_run",
  None,
  "Trains nothing: compiles the steps for accelerators that need not be here, "
  "and says whether they fit, what they exchange, what would help. v5e:16x16 "
  "or v5litepod-256, v4-128, v5p:4x4x4, v6e:8x8, tpu7x:2x2x1; 2xv5e:16x16 for "
  "two slices; h100:8, 2xh100:8; cpu:8. Needs no --workdir.",
)
_LARGEST_BATCH = flags.DEFINE_bool(
  "largest_batch",
  False,
  "With --dry_run: also finds the largest batch_size that fits.",
)
_START_OVER = flags.DEFINE_bool(
  "start_over",
  False,
  "Sets a run that is in --workdir aside as WORKDIR.1, and trains anew.",
)
_INIT_FROM = flags.DEFINE_string(
  "init_from", "", "WORKDIR[:STEP|best]: a new run starts from that state."
)
process_flags.define()


def main(_) -> None:
  """Runs the config; its scores are the last line, one line of JSON."""
  from van_jax import experiment

  if _DRY_RUN.value is not None:
    _dry_run()
    return
  command.run(
    lambda: experiment.train(
      _CONFIG.value,
      workdir=str(_WORKDIR.value),
      start_over=_START_OVER.value,
      init_from=_INIT_FROM.value,
      distributed=process_flags.value(),
    )
  )


def _dry_run() -> None:
  """Compiles the config's steps; exits with 1 where they do not fit."""
  from van_jax import experiment

  found = {}

  def compile_steps():
    found.update(
      experiment.dry_run(
        _CONFIG.value,
        target=str(_DRY_RUN.value),
        largest_batch=_LARGEST_BATCH.value,
      )
    )
    return found

  command.run(compile_steps)
  if not found["fits"]:
    sys.exit(command.EXIT_ERROR)


@flags.multi_flags_validator(
  ["workdir", "dry_run", "largest_batch"],
  "Flag --workdir must have a value other than None, but for a --dry_run; "
  "--largest_batch goes with a --dry_run.",
)
def _is_whole(given) -> bool:
  if given["dry_run"] is not None:
    return True
  return given["workdir"] is not None and not given["largest_batch"]


if __name__ == "__main__":
  flags.mark_flag_as_required("config")
  app.run(main, flags_parser=command.parse_flags)
