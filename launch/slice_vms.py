"""A slice of Cloud TPU VMs: what is done with it, as gcloud's commands.

The run is a container on each VM: it has the image's libraries, and nothing of
the VM's environment, where MEGASCALE_* that are left from before a preemption
make JAX wait for slices that are gone.
"""

import dataclasses
import json
import math
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from launch import command_line
from launch.accelerators import TPUS, Accelerators

_RUN = "van_jax"  # The container's name.
BUSY = 69  # Exit status of `run` where a VM's chips are held.
_GRACE_SECONDS = 120  # To save in.

# On each VM, in its shell; {image} and {train} are quoted words.
_INSTALL = """\
set -eu
if ! command -v docker >/dev/null; then
  sudo apt-get update --quiet
  sudo apt-get install --quiet --yes docker.io
fi
curl --silent --fail --header "Metadata-Flavor: Google" \\
http://metadata.google.internal/computeMetadata/v1/instance/\
service-accounts/default/token |
  sed "s/.*\\"access_token\\":\\"\\([^\\"]*\\).*/\\1/" |
  sudo docker login --username oauth2accesstoken --password-stdin \\
https://{registry}
sudo docker pull --quiet {image}
"""
# What another program holds, a container cannot have; and a program that was
# killed while the chips were at work may hold them for good.
_FREE = f"""\
sudo docker stop --time {_GRACE_SECONDS} {_RUN} >/dev/null 2>&1 || true
sudo docker rm --force {_RUN} >/dev/null 2>&1 || true
for device in /dev/vfio/[0-9]* /dev/accel[0-9]*; do
  if [ -e "$device" ] && sudo fuser --silent "$device"; then
    echo "busy $device"
  fi
done
"""
_START = """\
sudo docker run --detach --name {run} --privileged --network=host \\
--log-opt max-size=100m {image} python train.py {train}
"""
_STATUS = (
  "sudo docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' "
  f"{_RUN} 2>/dev/null || echo absent 0"
)
_STOP = f"sudo docker stop --time {_GRACE_SECONDS} {_RUN} || true"
_FOLLOW = f"sudo docker logs --follow --tail 100 {_RUN}"


def check(accelerators: Accelerators) -> None:
  """Checks that Cloud TPU's API has such a slice.

  Raises:
    UsageError: when it has not.
  """
  kind = accelerators.kind
  if kind not in TPUS or not TPUS[kind].api_type:
    served = ", ".join(name for name, row in TPUS.items() if row.api_type)
    raise command_line.UsageError(
      f"Cloud TPU's API serves {served}, and no {kind}: use `python -m "
      "launch.gke`."
    )
  if accelerators.slices > 1:
    raise command_line.UsageError(
      "several slices restart together on GKE alone: `python -m launch.gke`."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceVms:
  """A slice by its name; nothing is kept of it here.

  Each command returns an exit status.

  Attributes:
    name: of the slice.
    project: of Google Cloud.
    zone: where it is.
    accelerators: what it is; None where it is there already.
    image: of the container; "" where none is started.
    spot: whether it may be taken away.
    service_account: e-mail; "" for the project's default.
    network: of the project.
    only_print: show commands, and run none.
  """

  name: str
  project: str
  zone: str
  accelerators: Accelerators | None
  image: str
  spot: bool
  service_account: str
  network: str
  only_print: bool

  def check_tools(self) -> None:
    """Checks that gcloud is here, if it is needed.

    Raises:
      UsageError: when it is not.
    """
    if not self.only_print and shutil.which("gcloud") is None:
      raise command_line.UsageError(
        "gcloud is not installed here; --print shows what would be done."
      )

  def create(self) -> int:
    """Asks for the slice and waits until it is there."""
    assert self.accelerators is not None
    row = TPUS[self.accelerators.kind]
    words = ["create", self.name, f"--type={row.api_type}"]
    words += [f"--topology={self.accelerators.shape}"]
    words += [f"--version={row.runtime}", f"--network={self.network}"]
    words += ["--scopes=https://www.googleapis.com/auth/cloud-platform"]
    if self.spot:
      words.append("--spot")
    if self.service_account:
      words.append(f"--service-account={self.service_account}")
    return self._do(self._vm(*words))

  def install(self) -> int:
    """Pulls the image on all workers."""
    registry = shlex.quote(self.image.partition("/")[0])
    return self._on_all(
      _INSTALL.format(registry=registry, image=shlex.quote(self.image))
    )

  def run(self, train: Sequence[str]) -> int:
    """Starts train.py on all workers; BUSY where chips are not free."""
    if (status := self._free()) != 0:
      return status
    hosts = self.accelerators.hosts if self.accelerators else math.inf
    train = [*train, "--distributed"] if hosts > 1 else train
    return self._on_all(
      _START.format(
        run=_RUN, image=shlex.quote(self.image), train=shlex.join(train)
      )
    )

  def follow(self) -> int:
    """Shows worker 0's log until it ends."""
    return self._do(self._ssh("0", _FOLLOW))

  def status(self) -> int:
    """Prints the state of the slice, and of each worker's run."""
    if self.only_print:
      self._do(self._describe())
      return self._do(self._ssh("all", _STATUS))
    state = self.state()
    print(f"{self.name}: {state}")
    for line in self.statuses() if state == "READY" else ():
      print("  " + " ".join(map(str, line)))
    return 0

  def stop(self) -> int:
    """Sends SIGTERM to all workers' runs, and waits until they have saved."""
    return self._on_all(_STOP)

  def recreate(self) -> int:
    """Deletes the slice and creates it anew."""
    return self.delete() or self.create()

  def delete(self) -> int:
    """Deletes the slice."""
    return self._do(self._vm("delete", self.name, "--quiet"))

  def state(self) -> str:
    """Returns READY, PREEMPTED and so on; ABSENT where there is none."""
    told = subprocess.run(self._describe(), capture_output=True, text=True)
    if told.returncode and "NOT_FOUND" in told.stderr:
      return "ABSENT"
    if told.returncode:
      raise command_line.UsageError(told.stderr.strip().replace("\n", " "))
    return json.loads(told.stdout)["state"]

  def statuses(self) -> list[tuple[str, int]]:
    """Returns ("running", 0), ("exited", 75) or ("absent", 0) of workers.

    Of those that answer: one that does not is the slice's state to tell.
    """
    told = subprocess.run(
      self._ssh("all", _STATUS), capture_output=True, text=True
    )
    lines = (line.split() for line in told.stdout.splitlines())
    return [
      (words[0], int(words[1]))
      for words in lines
      if len(words) == 2 and words[1].isdecimal()
    ]

  def _free(self) -> int:
    """Ends a run that is there; BUSY where another program has the chips."""
    command = self._ssh("all", _FREE)
    if self.only_print:
      return self._do(command)
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    busy = [line for line in told.stdout.splitlines() if "busy /dev" in line]
    if busy:
      print(
        f"{self.name}: {', '.join(sorted(set(busy)))}: a program that is not "
        "the run has the chips, or left them so; `recreate` makes new VMs.",
        file=sys.stderr,
      )
      return BUSY
    return told.returncode

  def _on_all(self, script: str) -> int:
    return self._do(self._ssh("all", script))

  def _ssh(self, worker: str, script: str) -> list[str]:
    return self._vm(
      "ssh", self.name, f"--worker={worker}", f"--command={script}"
    )

  def _describe(self) -> list[str]:
    return self._vm("describe", self.name, "--format=json")

  def _vm(self, *words: str) -> list[str]:
    place = [f"--project={self.project}", f"--zone={self.zone}"]
    return ["gcloud", "compute", "tpus", "tpu-vm", *words, *place]

  def _do(self, command: list[str]) -> int:
    if self.only_print:
      print(shlex.join(command))
      return 0
    return subprocess.run(command).returncode
