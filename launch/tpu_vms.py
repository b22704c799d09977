"""Runs on a slice of Cloud TPU VMs, and keeps it running: v4, v5e, v5p, v6e.

  python -m launch.tpu_vms keep --name=van-b2 --project=PROJECT --zone=ZONE \
    --topology=v5e:16x16 --image=IMAGE -- \
    --config=configs/imagenet1k.py:van_b2 --workdir=gs://BUCKET/b2

`keep` does the others in turn, and what has to be done when the run stops:

  create    asks for the slice, and waits for it
  install   Docker and the image, on all workers
  run       train.py on all workers, in the background
  follow    shows worker 0's log, until Ctrl-C; the run goes on
  status    says how the slice is, and the run on each worker
  stop      SIGTERM to the run; it saves
  recreate  deletes and creates: a VM whose /dev/vfio stays busy, a preemption
  delete    the slice; nothing is paid from then on

After `--` comes train.py's command line. --print shows what would be done, as
commands of a shell, and does nothing. Google no longer develops this API, and
it does not serve TPU7x: `python -m launch.gke` is the first choice.
"""

import argparse
import sys
from collections.abc import Sequence

from launch import accelerators, command_line, keeping, slice_vms

_COMMANDS = {  # What each needs beside the slice: image, and train.py's flags.
  "keep": (True, True),
  "create": (False, False),
  "install": (True, False),
  "run": (True, True),
  "follow": (False, False),
  "status": (False, False),
  "stop": (False, False),
  "recreate": (False, False),
  "delete": (False, False),
}


def options(arguments: Sequence[str]) -> argparse.Namespace:
  """Returns the flags, checked.

  Raises:
    UsageError: for what cannot work.
  """
  parser = command_line.parser("launch.tpu_vms", __doc__, optional=True)
  add = parser.add_argument
  add("command", choices=_COMMANDS)
  add("--project", required=True, help="of Google Cloud")
  add("--zone", required=True, help="us-west4-a")
  add("--service_account", default="", help="e-mail; with gs:// access")
  add("--network", default="default", help="of the project")
  found = command_line.parse(parser, arguments)
  _check(found)
  return found


def _check(flags: argparse.Namespace) -> None:
  needs_image, trains = _COMMANDS[flags.command]
  if flags.command in ("keep", "create", "recreate") or flags.topology:
    if not flags.topology:
      raise command_line.UsageError(
        f"{flags.command} needs --topology, such as v5e:16x16."
      )
    flags.accelerators = accelerators.parse(flags.topology)
    slice_vms.check(flags.accelerators)
  if needs_image and not flags.image:
    raise command_line.UsageError(
      f"{flags.command} needs --image, built from launch/Dockerfile and pushed "
      "where the VMs can read it."
    )
  if trains:
    command_line.check_training(flags.train)
  elif flags.train:
    raise command_line.UsageError(
      f"{flags.command} takes no flags of train.py: {' '.join(flags.train)}"
    )


def launch(flags: argparse.Namespace) -> int:
  """Does what the command says; returns the exit status."""
  vms = slice_vms.SliceVms(
    name=flags.name,
    project=flags.project,
    zone=flags.zone,
    accelerators=getattr(flags, "accelerators", None),
    image=flags.image,
    spot=flags.spot,
    service_account=flags.service_account,
    network=flags.network,
    only_print=flags.print,
  )
  vms.check_tools()
  if flags.command == "keep":
    if flags.print:
      return keeping.describe(vms, flags.train)
    return keeping.keep(vms, flags.train, max_restarts=flags.max_restarts)
  if flags.command == "run":
    return vms.run(flags.train)
  return getattr(vms, flags.command)()


def main() -> None:
  """Does what the command line says."""
  sys.exit(command_line.run(launch, lambda: options(sys.argv[1:])))


if __name__ == "__main__":
  main()
