"""Accelerators as Google Cloud rents them: labels, machines, chips a host.

v5e:16x16 is a slice by its shape in chips, 2xv5e:16x16 two of them, 4xh100:8
four machines of eight GPUs. Facts: cloud.google.com/tpu/docs and
cloud.google.com/kubernetes-engine/docs, read in November 2026.
"""

import dataclasses
import math
import re
from typing import NamedTuple

from launch import command_line

_NAME = re.compile(r"(?:(\d+)x(?=[a-z]))?([a-z][\w-]*):(\d+(?:x\d+)*)")
_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_DEEP = ("2x2x1", "2x2x2", "2x2x4", "2x4x4")
_CUBE = 4  # Chips a side: larger slices of three dimensions are made of them.


class Tpu(NamedTuple):
  """A generation of TPUs.

  Attributes:
    label: of GKE's nodes, cloud.google.com/gke-tpu-accelerator.
    shapes: slices that exist; those of three dimensions below a cube.
    most: chips of the largest slice made of cubes; 0 where there are none.
    api_type: --type of Cloud TPU's own API; "" where it serves none.
    runtime: its image for that.
  """

  label: str
  shapes: tuple[str, ...]
  most: int = 0
  api_type: str = ""
  runtime: str = ""


TPUS = {
  "v4": Tpu("tpu-v4-podslice", _DEEP, 4096, "v4", "tpu-ubuntu2204-base"),
  "v5e": Tpu(
    "tpu-v5-lite-podslice", _FLAT, 0, "v5litepod", "v2-alpha-tpuv5-lite"
  ),
  "v5p": Tpu("tpu-v5p-slice", _DEEP, 6144, "v5p", "v2-alpha-tpuv5"),
  "v6e": Tpu("tpu-v6e-slice", _FLAT, 0, "v6e", "v2-alpha-tpuv6e"),
  "tpu7x": Tpu("tpu7x", ("1x1x1", *_DEEP), 9216),
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
  found = _NAME.fullmatch(text)
  if not found:
    raise command_line.UsageError(
      f"--topology={text} must be KIND:SHAPE, such as v5e:16x16, 2xv5e:16x16, "
      "v5p:4x4x4 or 4xh100:8."
    )
  slices, kind, shape = int(found[1] or 1), found[2], found[3]
  if slices < 1:
    raise command_line.UsageError(f"--topology={text} has no slice at all.")
  if kind in GPUS:
    return _gpus(text, kind, shape, slices)
  if kind not in TPUS:
    raise command_line.UsageError(
      f"--topology={text}: {kind!r} must be one of {', '.join(TPUS)} or "
      f"{', '.join(GPUS)}."
    )
  if not _exists(TPUS[kind], shape):
    more = f" and AxBxC of multiples of {_CUBE}, A <= B <= C"
    raise command_line.UsageError(
      f"--topology={text}: {kind} has the slices "
      f"{', '.join(TPUS[kind].shapes)}{more if TPUS[kind].most else ''}."
    )
  total = math.prod(_numbers(shape))
  # One machine has all eight chips of a 2x4; larger slices have four a host.
  chips = total if shape in ("1x1", "1x1x1", "2x4") else min(total, 4)
  return Accelerators(
    kind=kind, shape=shape, slices=slices, hosts=total // chips, chips=chips
  )


def _exists(row: Tpu, shape: str) -> bool:
  sides = _numbers(shape)
  cubes = (
    len(sides) == 3
    and all(side and side % _CUBE == 0 for side in sides)
    and list(sides) == sorted(sides)
  )
  return shape in row.shapes or (cubes and math.prod(sides) <= row.most)


def _gpus(text: str, kind: str, shape: str, machines: int) -> Accelerators:
  if shape not in map(str, _GPUS_A_MACHINE):
    raise command_line.UsageError(
      f"--topology={text}: a machine has 1, 2, 4 or 8 {kind}; several machines "
      f"are 4x{kind}:8."
    )
  return Accelerators(
    kind=kind, shape=shape, slices=machines, hosts=1, chips=int(shape)
  )


def _numbers(shape: str) -> tuple[int, ...]:
  return tuple(int(side) for side in shape.split("x"))
