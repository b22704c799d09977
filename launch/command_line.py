"""Command lines of the launchers: their own flags, `--`, then train.py's.

Only Python itself is needed: one launches from where nothing is installed.
"""

import argparse
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

ROOT = pathlib.Path(__file__).parent.parent
# What the launchers set themselves.
_TAKEN = ("distributed", "coordinator_address", "num_processes", "process_id")
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")


class UsageError(Exception):
  """What a user can mend; one line."""


def run(
  function: Callable[[argparse.Namespace], int], options: Callable[[], object]
) -> int:
  """Returns an exit status: the function's, or 1 after a line on stderr."""
  try:
    return function(options())  # pyright: ignore[reportArgumentType]
  except UsageError as error:
    print(f"error: {error}", file=sys.stderr)
    return 1


def parser(
  program: str, description: str | None, *, optional: bool
) -> argparse.ArgumentParser:
  """Returns a launcher's parser, with the flags that all launchers have.

  Args:
    program: its command, of `python -m`.
    description: its module's docstring.
    optional: whether some of its commands need neither image nor topology.
  """
  made = argparse.ArgumentParser(
    prog=f"python -m {program}",
    description=description,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  needed = not optional
  add = made.add_argument
  add("--name", required=True, help="of what is created: van-b2")
  add(
    "--image",
    required=needed,
    default="",
    help="container, from launch/Dockerfile",
  )
  add(
    "--topology",
    required=needed,
    default="",
    help="v5e:16x16, v5litepod-256, 2xv5e:16x16",
  )
  add("--spot", action="store_true", help="may be taken away; far cheaper")
  add("--max_restarts", type=int, default=50, help="at most (%(default)s)")
  add(
    "--print", action="store_true", help="show what would be done, do nothing"
  )
  return made


def parse(
  of: argparse.ArgumentParser, arguments: Sequence[str]
) -> argparse.Namespace:
  """Returns the launcher's own flags, and train.py's after `--` as `train`.

  Raises:
    UsageError: for a name that Google Cloud or Kubernetes would refuse, or a
      number of restarts that is none.
  """
  own, train = list(arguments), []
  if "--" in own:
    at = own.index("--")
    own, train = own[:at], own[at + 1 :]
  flags = of.parse_args(own)
  flags.train = train
  if not _NAME.fullmatch(flags.name):
    raise UsageError(
      f"--name={flags.name} must be at most 40 lower-case letters, digits and "
      "hyphens, and begin with a letter: vans-b2."
    )
  if flags.max_restarts < 0:
    raise UsageError(f"--max_restarts={flags.max_restarts} must be at least 0.")
  return flags


def check_training(train: Sequence[str]) -> None:
  """Checks train.py's flags as far as the launcher can see.

  Raises:
    UsageError: for what would fail on every host, after it was paid for.
  """
  config, workdir = (_value(train, name) for name in ("config", "workdir"))
  if config is None or workdir is None:
    raise UsageError(
      "after `--` come train.py's flags, --config=... and --workdir=gs://... "
      "at least."
    )
  if not workdir.startswith("gs://"):
    raise UsageError(
      f"--workdir={workdir} must be on gs://: all hosts write to it, and they "
      "go away."
    )
  path = config.partition(":")[0]
  if not path.startswith("/") and not (ROOT / path).is_file():
    raise UsageError(
      f"--config={config}: there is no {path} here, and so none in an image "
      "that is built from here."
    )
  for name in _TAKEN:
    if any(_is_flag(word, name) for word in train):
      raise UsageError(f"--{name} is set by the launcher; leave it out.")


def _value(words: Sequence[str], name: str) -> str | None:
  """Returns a flag's value, of --name=VALUE or --name VALUE."""
  for i, word in enumerate(words):
    flag, equals, value = word.lstrip("-").partition("=")
    if word.startswith("-") and flag == name:
      return value if equals else "".join(words[i + 1 : i + 2])
  return None


def _is_flag(word: str, name: str) -> bool:
  flag = word.lstrip("-").partition("=")[0]
  return word.startswith("-") and flag in (name, f"no{name}")
