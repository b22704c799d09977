"""Accelerators as Google Cloud rents them: labels, machines, chips a host.

Names are read as a dry run reads them, `van_jax/parallel/topologies.py`:
v5e:16x16 or v5litepod-256 is a slice, 2xv5e:16x16 two of them, 4xh100:8 four
machines of eight GPUs. Facts: cloud.google.com/tpu/docs and
cloud.google.com/kubernetes-engine/docs, read in November 2026.
"""

import dataclasses
from typing import NamedTuple

from launch import command_line, topologies


class Tpu(NamedTuple):
  """What Google Cloud calls a generation of TPUs.

  Attributes:
    label: of GKE's nodes, cloud.google.com/gke-tpu-accelerator.
    api_type: --type of Cloud TPU's own API; "" where it serves none.
    runtime: its image for that.
  """

  label: str
  api_type: str = ""
  runtime: str = ""


TPUS = {
  "v4": Tpu("tpu-v4-podslice", "v4", "tpu-ubuntu2204-base"),
  "v5e": Tpu("tpu-v5-lite-podslice", "v5litepod", "v2-alpha-tpuv5-lite"),
  "v5p": Tpu("tpu-v5p-slice", "v5p", "v2-alpha-tpuv5"),
  "v6e": Tpu("tpu-v6e-slice", "v6e", "v2-alpha-tpuv6e"),
  "tpu7x": Tpu("tpu7x"),
}
GPUS = {  # Label of GKE's nodes, cloud.google.com/gke-accelerator.
  "a100": "nvidia-a100-80gb",
  "a100-40gb": "nvidia-tesla-a100",
  "b200": "nvidia-b200",
  "h100": "nvidia-h100-80gb",
  "h100-mega": "nvidia-h100-mega-80gb",
  "h200": "nvidia-h200-141gb",
  "l4": "nvidia-l4",
}
_GPUS_A_MACHINE = (1, 2, 4, 8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accelerators:
  """What a run asks for.

  Attributes:
    kind: a row of TPUS or GPUS.
    shape: chips of a slice, "16x16"; of GPUs, how many a machine.
    slices: how many; of GPUs, machines.
    hosts: of a slice.
    chips: of a host.
  """

  kind: str
  shape: str
  slices: int
  hosts: int
  chips: int

  @property
  def on_tpu(self) -> bool:
    """Whether these are TPUs."""
    return self.kind in TPUS


def parse(text: str) -> Accelerators:
  """Returns the accelerators of a name.

  Raises:
    UsageError: for one that cannot be rented, with what can.
  """
  try:
    found = topologies.parse(text)
  except topologies.errors.UserError as error:
    raise command_line.UsageError(f"--topology: {error}") from None
  if found.kind not in TPUS and found.kind not in GPUS:
    raise command_line.UsageError(
      f"--topology={text}: {found.kind!r} is none that is launched; there are "
      f"{', '.join([*TPUS, *GPUS])}."
    )
  if found.kind in GPUS and found.shape[0] not in _GPUS_A_MACHINE:
    raise command_line.UsageError(
      f"--topology={text}: a machine has 1, 2, 4 or 8 {found.kind}; several "
      f"machines are 4x{found.kind}:8."
    )
  return Accelerators(
    kind=found.kind,
    shape="x".join(map(str, found.shape)),
    slices=found.slices,
    hosts=found.chips // found.slices // found.chips_a_host,
    chips=found.chips_a_host,
  )
