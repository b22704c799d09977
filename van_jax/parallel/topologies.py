"""Accelerators by the names that people say, whether or not they are here.

  v4:4x4x4, v4-128       a TPU slice by its shape in chips, or by Google's name
  v5e:16x16, v5litepod-256, v5p:4x4x4, v6e-256, tpu7x:2x2x1
  2xv5e:16x16            two slices
  h100:8, 2xh100:8       a host's GPUs, two hosts of as many
  cpu:8                  devices of this machine's CPU

Which slices exist is in Google's documents: cloud.google.com/tpu/docs, v4 to
tpu7x, read in November 2026. libtpu takes shapes that nobody can rent.
"""

import dataclasses
import difflib
import functools
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from van_jax import errors
from van_jax.parallel.graphics_cards import CARDS

_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_BELOW_A_CUBE = ("2x2x1", "2x2x2", "2x2x4", "2x4x4")
_CUBE = 4  # Chips a side; larger slices are made of whole ones.
_MOST_GPUS_A_HOST = 16
_MOST_CPU_DEVICES = 1024
_NAME = re.compile(
  r"(?:(?P<slices>\d+)x(?=[a-z]))?(?P<kind>[a-z]\w*?(?:-(?:\d+gb|mega))?)"
  r"(?:(?P<mark>[:-])(?P<size>\d+(?:x\d+)*))?"
)


class Tpu(NamedTuple):
  """A generation of TPUs.

  Attributes:
    counted: what the number in a name such as v4-128 counts of each chip.
    devices: of JAX's, a chip.
    shapes: those smaller than a cube; all of them where `most` is None.
    most: chips of the largest slice that is made of cubes.
    options: of libtpu, beside the shape.
  """

  counted: int
  devices: int
  shapes: tuple[str, ...]
  most: int | None = None
  options: Mapping[str, Any] = {}


_MEGACORE = {"chip_config_name": "megacore"}  # Both cores are one device.
TPUS = {
  "v4": Tpu(2, 1, _BELOW_A_CUBE, 4096, _MEGACORE),
  "v5e": Tpu(1, 1, _FLAT),
  "v5p": Tpu(2, 1, _BELOW_A_CUBE, 6144, _MEGACORE),
  "v6e": Tpu(1, 1, _FLAT),
  "tpu7x": Tpu(2, 2, ("1x1x1", *_BELOW_A_CUBE), 9216),
}
_ALSO_CALLED = {
  "v5litepod": "v5e",
  "v5lite": "v5e",
  "trillium": "v6e",
  "v7x": "tpu7x",
  "ironwood": "tpu7x",
  "h100-80gb": "h100",
  "h200-141gb": "h200",
  "a100-80gb": "a100",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topology:
  """Accelerators to compile for.

  Attributes:
    name: in one spelling: "2xv5e:16x16".
    platform: JAX's word: "tpu", "cuda" or "cpu".
    kind: a row of TPUS or CARDS, or "cpu".
    shape: chips along each axis of a slice; (GPUs a host,) of GPUs.
    slices: that the data-centre network joins; of GPUs, hosts.
    devices: of JAX's, in all.
    chips_a_host: that one process drives.
  """

  name: str
  platform: str
  kind: str
  shape: tuple[int, ...]
  slices: int
  devices: int
  chips_a_host: int

  @property
  def chips(self) -> int:
    """Chips in all."""
    return self.slices * math.prod(self.shape)


def parse(text: str) -> Topology:
  """Returns the accelerators of a name.

  Raises:
    UserError: with what there is instead.
  """
  found = _NAME.fullmatch(text.strip().lower())
  if not found:
    raise errors.UserError(
      f"{text!r} names no accelerators; write KIND:SHAPE, such as v5e:16x16, "
      "v5p-128, 2xv5e:16x16, h100:8 or cpu:8."
    )
  kind = _ALSO_CALLED.get(found["kind"], found["kind"])
  slices = int(found["slices"] or 1)
  if not 1 <= slices <= 1024:
    raise errors.UserError(f"{text!r}: {slices} slices are none that exist.")
  if kind in TPUS:
    shape = _tpu_shape(text, kind, found["mark"], found["size"])
    return _tpu(kind, shape, slices)
  if kind in CARDS:
    return _gpus(text, kind, found["size"], slices)
  if kind == "cpu":
    return _cpu(text, found["size"], slices)
  known = (*TPUS, *CARDS, "cpu")
  near = difflib.get_close_matches(kind, known, n=1)
  meant = f"did you mean {near[0]}? " if near else ""
  raise errors.UserError(
    f"{text!r}: {kind!r} is no kind of accelerator that is known; {meant}there "
    f"are {', '.join(known)}."
  )


@functools.cache
def shapes(kind: str) -> tuple[tuple[int, ...], ...]:
  """Returns all shapes of a TPU generation, fewest chips first."""
  row = TPUS[kind]
  found = [_numbers(shape) for shape in row.shapes]
  cubes = (row.most or 0) // _CUBE**3
  for a in range(1, cubes + 1):
    for b in range(a, cubes // a + 1):
      for c in range(b, cubes // (a * b) + 1):
        found.append((_CUBE * a, _CUBE * b, _CUBE * c))
  return tuple(sorted(found, key=lambda s: (math.prod(s), sum(s))))


def _tpu_shape(
  text: str, kind: str, mark: str | None, size: str | None
) -> tuple[int, ...]:
  """Returns the shape that a name has or counts."""
  known, counted = shapes(kind), TPUS[kind].counted
  if size is None:
    cube = next(s for s in known if math.prod(s) >= 64)
    raise errors.UserError(
      f"{text!r} has no shape; write {kind}:{_written(cube)}, say, for "
      f"{math.prod(cube)} chips."
    )
  asked = _numbers(size)
  if len(asked) == 1:  # Google's name: v4-128 has 128 cores.
    alike = [s for s in known if math.prod(s) * counted == asked[0]]
    chips = asked[0] / counted
  else:
    alike = [s for s in known if s == asked]
    chips = math.prod(asked)
  if alike:
    return alike[0]  # The nearest to a cube comes first, as Google's does.
  near = sorted(
    known, key=lambda s: (abs(math.log(math.prod(s) / max(chips, 0.5))), sum(s))
  )
  listed = ", ".join(
    f"{kind}:{_written(s)} ({math.prod(s)} chips)" for s in near[:3]
  )
  rule = (
    f"{kind} has {', '.join(TPUS[kind].shapes)}"
    if TPUS[kind].most is None
    else (
      f"{kind} has {', '.join(TPUS[kind].shapes)} and AxBxC of multiples of "
      f"{_CUBE}, A <= B <= C, up to {TPUS[kind].most} chips"
    )
  )
  raise errors.UserError(
    f"{text!r} is no slice that exists; the nearest are {listed}. {rule}."
  )


def _tpu(kind: str, shape: tuple[int, ...], slices: int) -> Topology:
  chips = math.prod(shape)
  return Topology(
    name=_joined(slices, f"{kind}:{_written(shape)}"),
    platform="tpu",
    kind=kind,
    shape=shape,
    slices=slices,
    devices=slices * chips * TPUS[kind].devices,
    # One machine has all eight chips of a 2x4; larger slices have four a host.
    chips_a_host=chips if shape == (2, 4) else min(chips, 4),
  )


def _gpus(text: str, kind: str, size: str | None, hosts: int) -> Topology:
  count = _numbers(size or "8")
  if len(count) != 1 or not 1 <= count[0] <= _MOST_GPUS_A_HOST:
    raise errors.UserError(
      f"{text!r} must count a host's GPUs, 1 to {_MOST_GPUS_A_HOST}: {kind}:8; "
      f"several hosts are 2x{kind}:8."
    )
  return Topology(
    name=_joined(hosts, f"{kind}:{count[0]}"),
    platform="cuda",
    kind=kind,
    shape=count,
    slices=hosts,
    devices=hosts * count[0],
    chips_a_host=count[0],
  )


def _cpu(text: str, size: str | None, slices: int) -> Topology:
  count = _numbers(size or "1")
  if len(count) != 1 or not 1 <= count[0] <= _MOST_CPU_DEVICES or slices > 1:
    raise errors.UserError(
      f"{text!r} must count devices of one host's CPU, 1 to "
      f"{_MOST_CPU_DEVICES}: cpu:8."
    )
  return Topology(
    name=f"cpu:{count[0]}",
    platform="cpu",
    kind="cpu",
    shape=count,
    slices=1,
    devices=count[0],
    chips_a_host=count[0],
  )


def _numbers(shape: str) -> tuple[int, ...]:
  return tuple(int(n) for n in shape.split("x"))


def _written(shape: tuple[int, ...]) -> str:
  return "x".join(map(str, shape))


def _joined(slices: int, name: str) -> str:
  return name if slices == 1 else f"{slices}x{name}"
