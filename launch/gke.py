"""Starts a run on GKE, on TPUs or GPUs, as a JobSet that restarts by itself.

  python -m launch.gke --name=van-b2 --image=IMAGE --topology=v5e:16x16 -- \
    --config=configs/imagenet1k.py:van_b2 --workdir=gs://BUCKET/b2

After `--` comes train.py's command line. --print shows the JobSet, which
kubectl reads as it is, and starts nothing. The cluster needs the JobSet
controller and nodes of that topology: docs/pods.md.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from launch import accelerators, command_line, jobset


def options(arguments: Sequence[str]) -> argparse.Namespace:
  """Returns the flags, checked.

  Raises:
    UsageError: for what cannot work.
  """
  found = command_line.parse(_parser(), arguments)
  found.accelerators = accelerators.parse(found.topology)
  _check(found)
  return found


def _parser() -> argparse.ArgumentParser:
  parser = command_line.parser("launch.gke", __doc__, optional=False)
  add = parser.add_argument
  add("--project", default="", help="of Google Cloud, with --cluster")
  add("--zone", default="", help="zone or region of --cluster")
  add("--cluster", default="", help="to use; kubectl's current one without")
  add("--namespace", default="default", help="of Kubernetes")
  add("--service_account", default="", help="of Kubernetes, with gs:// access")
  add("--reservation", default="", help="of Compute Engine")
  add("--queue", default="", help="of Kueue")
  add(
    "--grace_seconds",
    type=int,
    default=120,
    help="from SIGTERM to SIGKILL, to save in (%(default)s)",
  )
  return parser


def _check(flags: argparse.Namespace) -> None:
  command_line.check_training(flags.train)
  if any((flags.project, flags.zone, flags.cluster)) and not (
    flags.zone and flags.cluster
  ):
    raise command_line.UsageError(
      "--cluster and --zone belong together; without both, kubectl's current "
      "cluster is used."
    )
  if flags.spot and flags.reservation:
    raise command_line.UsageError("--spot machines are not in a --reservation.")
  if flags.grace_seconds < 1:
    raise command_line.UsageError(
      f"--grace_seconds={flags.grace_seconds} must be at least 1."
    )


def launch(flags: argparse.Namespace) -> int:
  """Prints or starts the JobSet; returns the exit status."""
  manifest = jobset.create(
    flags.accelerators,
    flags.train,
    name=flags.name,
    image=flags.image,
    namespace=flags.namespace,
    service_account=flags.service_account,
    spot=flags.spot,
    reservation=flags.reservation,
    queue=flags.queue,
    max_restarts=flags.max_restarts,
    grace_seconds=flags.grace_seconds,
  )
  text = json.dumps(manifest, indent=2)
  commands = _commands(flags)
  if flags.print:
    for command in commands:
      print(f"# {shlex.join(command)}", file=sys.stderr)
    print(text)
    return 0
  for program in dict.fromkeys(command[0] for command in commands):
    if shutil.which(program) is None:
      raise command_line.UsageError(
        f"{program} is not installed here; --print writes the JobSet without."
      )
  for command in commands:
    stdin = text if command[-1] == "-" else None
    if status := subprocess.run(command, input=stdin, text=True).returncode:
      return status
  print(
    "follow: kubectl logs --follow --namespace="
    f"{flags.namespace} --selector=jobset.sigs.k8s.io/jobset-name={flags.name},"
    "batch.kubernetes.io/job-completion-index=0,"
    "jobset.sigs.k8s.io/job-index=0",
    file=sys.stderr,
  )
  return 0


def _commands(flags: argparse.Namespace) -> list[list[str]]:
  """Returns what is run, in order."""
  commands = []
  if flags.cluster:
    login = ["gcloud", "container", "clusters", "get-credentials"]
    login += [flags.cluster, f"--location={flags.zone}"]
    login += [f"--project={flags.project}"] if flags.project else []
    commands.append(login)
  # `create`, not `apply`: a JobSet of that name that is there is not changed.
  return [*commands, ["kubectl", "create", "--filename", "-"]]


def main() -> None:
  """Starts the run that the command line asks for."""
  sys.exit(command_line.run(launch, lambda: options(sys.argv[1:])))


if __name__ == "__main__":
  main()
