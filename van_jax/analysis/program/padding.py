"""Channels that do not fill a TPU's registers, and what that wastes."""

import dataclasses
import math
import re
from collections import defaultdict

from van_jax.analysis.program import hlo, hlo_line

# A register of a TPU holds 8 x 128 numbers, and its matrix units take as many
# channels in and give as many out as there are lanes (256 from v6e on, which
# wastes more yet of narrow layers).
LANES = 128
SUBLANES = 8

_LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")
_GROUPS = re.compile(r"(feature|batch)_group_count=(\d+)")
_WINDOW = re.compile(r"window={size=([\dx]+)")
_CONTRACTED = re.compile(r"lhs_contracting_dims={([\d,]*)}")
_TILED = re.compile(r"T\(8,128\)")


@dataclasses.dataclass(frozen=True)
class PaddedWidth:
  """A number of channels that is no multiple of the lanes.

  Attributes:
    channels: of a layer's input, output or both.
    lanes: that they take up: the next multiple.
    multiply_adds: of the layers of that width, on one device.
  """

  channels: int
  lanes: int
  multiply_adds: int


@dataclasses.dataclass(frozen=True)
class Padding:
  """What padding costs the matrix and vector units.

  Attributes:
    widths: those that are padded, of most multiply-adds first.
    multiply_adds: of the forward pass's convolutions and matrix products.
    padded: that the units have room for meanwhile.
  """

  widths: tuple[PaddedWidth, ...]
  multiply_adds: int
  padded: int

  @property
  def wasted(self) -> float:
    """The share of the units' room that padding takes, in [0, 1)."""
    return 1 - self.multiply_adds / self.padded if self.padded else 0.0


def repeated_multiply_adds(module: hlo.Module) -> int:
  """Returns the multiply-adds of loops beyond their first turns.

  XLA's own analysis of costs counts a loop once.
  """
  total = 0
  for name, instructions in module.computations.items():
    if (turns := module.turns.get(name, 0)) > 1:
      types = {i.name: i.type for i in instructions}
      layers = (_layer(instruction, types) for instruction in instructions)
      macs = sum(layer.multiply_adds for layer in layers if layer is not None)
      total += (turns - 1) * macs
  return total


def padding(module: hlo.Module) -> Padding:
  """Returns what the widths of a TPU's program waste; nothing elsewhere.

  It is reckoned from the shapes of the forward pass, whose widths its gradients
  share: channels in and out rounded up to whole lanes; of depthwise
  convolutions batch and channels, whichever way round pads less. The compiler
  may do better, by rolling taps or pixels into narrow inputs. Kernels of ours
  choose their layout and are not in it.

  Args:
    module: of one device's program.
  """
  widths: dict[int, int] = defaultdict(int)
  total = room = 0
  for name, instructions in module.computations.items():
    turns = module.turns.get(name, 0)
    types = {i.name: i.type for i in instructions} if turns else {}
    for instruction in instructions if turns else ():
      layer = _layer(instruction, types)
      if layer is None or not layer.on_tpu:
        continue
      if "transpose(" in module.origin(instruction):  # JAX's backward passes.
        continue
      total += turns * layer.multiply_adds
      room += turns * layer.padded
      for width in {layer.channels_in, layer.channels_out}:
        if width % LANES:
          widths[width] += turns * layer.multiply_adds
  rows = (PaddedWidth(w, _up(w, LANES), n) for w, n in widths.items())
  ordered = sorted(rows, key=lambda row: -row.multiply_adds)
  return Padding(tuple(ordered), total, room)


@dataclasses.dataclass(frozen=True)
class _Layer:
  rows: int  # Examples times pixels.
  channels_in: int
  channels_out: int
  taps: int
  depthwise: bool
  on_tpu: bool

  @property
  def multiply_adds(self):
    within = 1 if self.depthwise else self.channels_in
    return self.rows * within * self.channels_out * self.taps

  @property
  def padded(self):
    C, N = self.channels_out, self.rows
    if self.depthwise:
      lanes = _up(C, LANES) * _up(N, SUBLANES)
      return min(lanes, _up(C, SUBLANES) * _up(N, LANES)) * self.taps
    return N * _up(self.channels_in, LANES) * _up(C, LANES) * self.taps


def _layer(instruction, types):
  if instruction.opcode not in ("convolution", "dot"):
    return None
  known = [
    hlo_line.arrays_of(types.get(name, "")) for name in instruction.operands
  ]
  if len(known) < 2 or not (known[0] and known[1]):
    return None
  left, right, out = known[0][0], known[1][0], instruction.arrays[0]
  # Only TPUs have tiles of registers in their layouts.
  on_tpu = any(_TILED.search(a.layout) for a in (left, right, out))
  if instruction.opcode == "dot":
    found = _CONTRACTED.search(instruction.rest)
    axes = [int(n) for n in re.findall(r"\d+", found[1])] if found else []
    within = math.prod(left.dims[n] for n in axes)
    columns = out.dims[-1] if out.dims else 1
    rows = math.prod(out.dims) // max(columns, 1)
    return _Layer(rows, within, columns, 1, False, on_tpu)
  labels = _LABELS.search(instruction.rest)
  if labels is None:
    return None
  groups = {m[1]: int(m[2]) for m in _GROUPS.finditer(instruction.rest)}
  kernel = dict(zip(labels[2], right.dims, strict=True))
  result = dict(zip(labels[3], out.dims, strict=True))
  taps = math.prod(n for axis, n in kernel.items() if axis.isdigit())
  return _Layer(
    rows=math.prod(out.dims) // result["f"],
    channels_in=kernel["i"] * groups.get("batch", 1),
    channels_out=result["f"],
    taps=taps,
    depthwise=groups.get("feature", 1) > 1 and kernel["i"] == 1,
    on_tpu=on_tpu,
  )


def _up(number, multiple):
  return -(-number // multiple) * multiple
