"""Channels that do not fill a TPU's registers, and what that wastes."""

import dataclasses
from collections import defaultdict

from van_jax.analysis.program import hlo
from van_jax.analysis.program.products import Product, product

# A register of a TPU holds 8 x 128 numbers, and its matrix units take as many
# channels in and give as many out as there are lanes (256 from v6e on, which
# wastes more yet of narrow layers).
LANES = 128
SUBLANES = 8


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
      layer = product(instruction, types)
      if layer is None or not layer.on_tpu:
        continue
      if "transpose(" in module.origin(instruction):  # JAX's backward passes.
        continue
      total += turns * layer.multiply_adds
      room += turns * _padded(layer)
      for width in {layer.channels_in, layer.channels_out}:
        if width % LANES:
          widths[width] += turns * layer.multiply_adds
  rows = (PaddedWidth(w, _up(w, LANES), n) for w, n in widths.items())
  ordered = sorted(rows, key=lambda row: -row.multiply_adds)
  return Padding(tuple(ordered), total, room)


def _padded(layer: Product) -> int:
  """Returns the multiply-adds that the units have room for meanwhile."""
  C, N = layer.channels_out, layer.rows
  if layer.depthwise:
    lanes = _up(C, LANES) * _up(N, SUBLANES)
    return min(lanes, _up(C, SUBLANES) * _up(N, LANES)) * layer.taps
  return N * _up(layer.channels_in, LANES) * _up(C, LANES) * layer.taps


def _up(number, multiple):
  return -(-number // multiple) * multiple
