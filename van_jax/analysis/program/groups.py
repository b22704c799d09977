"""Which devices exchange among each other: replica groups, and their axes."""

import itertools
import math
import re
from collections.abc import Mapping

import numpy as np

Groups = tuple[tuple[int, ...], ...]

SLICE = "slice"  # The axis of what leaves a slice.

_PAIRS = re.compile(r"source_target_pairs={((?:{[\d, ]*},? ?)*)}")
_LISTED = re.compile(r"replica_groups={((?:{[\d, ]*},? ?)*)}")
_IOTA = re.compile(
  r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?"
)
_MESH = re.compile(
  r"replica_groups=@?mesh[\[<]([^\]>]*)[\]>]"
  r"(?:, ?device_ids=\((.*?)\))? ?{([^{}]*)}"
)
_AXIS = re.compile(r"'?([\w.\-]+)'?(?::\((\d+)\)(\d+))?")


def parse(attributes: str, devices: int) -> Groups:
  """Returns the groups of devices that an instruction exchanges within.

  Reads all that XLA writes: {{0,1},{2,3}}; [2,2]<=[4], numbers in order cut
  into rows, and [2,2]<=[2,2]T(1,0), transposed before that; and axes of a mesh,
  mesh['a'=2,'b'=4] {'b'} or {'b':(1)2} for 2 parts of one. Of
  source_target_pairs each is a group, but for those of a device with itself.

  Args:
    attributes: of the instruction, as written.
    devices: of the program; all are one group where none is named.
  """
  if found := _PAIRS.search(attributes):
    pairs = _lists(found[1])
    return tuple(pair for pair in pairs if len(set(pair)) > 1)
  if found := _IOTA.search(attributes):
    order = _iota(found[2], found[3])
    return _tuples(order.reshape(_numbers(found[1])))
  if found := _MESH.search(attributes):
    return _of_mesh(*found.groups())
  found = _LISTED.search(attributes)
  groups = _lists(found[1]) if found else ()
  return groups or (tuple(range(devices)),)


def axis_of(
  groups: Groups, mesh_shape: Mapping[str, int], slices: int
) -> tuple[str, str]:
  """Returns the mesh axis that groups run along, and their link.

  Args:
    groups: of positions in the mesh, counted major to minor.
    mesh_shape: sizes by axis, major to minor.
    slices: of as many devices each, major to the rest.

  Returns:
    The names of the axes along which members of a group differ, joined by "+",
    and "ICI"; or "slice" and "DCN" where a group has members in two slices. ""
    for groups of one.
  """
  total = math.prod(mesh_shape.values())
  members = {n for group in groups for n in group}
  if not members or max(members) >= total:
    return "", "ICI"
  if any(len({n * slices // total for n in group}) > 1 for group in groups):
    return SLICE, "DCN"
  shape = tuple(mesh_shape.values())
  differs = np.zeros(len(shape), bool)
  for group in groups:
    places = np.stack(np.unravel_index(np.array(group), shape))
    differs |= np.any(places != places[:, :1], axis=1)
  names = (name for name, d in zip(mesh_shape, differs, strict=True) if d)
  return "+".join(names), "ICI"


def _numbers(text):
  return [int(n) for n in re.findall(r"\d+", text)]


def _lists(text):
  return tuple(tuple(_numbers(row)) for row in re.findall(r"{([^{}]*)}", text))


def _tuples(rows):
  return tuple(tuple(map(int, row)) for row in rows)


def _iota(dims, permutation):
  dims = _numbers(dims)
  order = np.arange(math.prod(dims)).reshape(dims)
  return order.transpose(_numbers(permutation)) if permutation else order


def _of_mesh(sizes, device_ids, axes):
  """Returns the groups along some axes, or parts of axes, of XLA's mesh."""
  pairs = re.findall(r"'?([\w.\-]+)'?=(\d+)", sizes)
  shape = {name: int(size) for name, size in pairs}
  total = math.prod(shape.values())
  if iota := re.match(r"\[([\d,]+)\](?:T\(([\d,]+)\))?", device_ids or ""):
    order = _iota(iota[1], iota[2]).reshape(-1)
  else:
    order = np.array(_numbers(device_ids or "") or range(total))
  taken = [
    (m[1], int(m[2] or 1), int(m[3] or shape[m[1]]))
    for m in _AXIS.finditer(axes)
  ]
  cut = {}  # Each axis as the parts that the taken ones cut it into.
  for name in shape:
    edges = {1, shape[name]}
    for other, before, size in taken:
      edges |= {before, before * size} if other == name else set()
    parts = itertools.pairwise(sorted(edges))
    cut[name] = [after // before for before, after in parts] or [1]
  return _tuples(_grouped(order, cut, taken))


def _grouped(order, cut, taken):
  """Returns rows of those that differ along the taken parts alone."""
  dims, at = [], {}
  for name, parts in cut.items():
    before = 1
    for part in parts:
      at[name, before] = len(dims)
      dims.append(part)
      before *= part
  moved = []
  for name, before, size in taken:
    while size > 1:  # A part may be cut in two by another one's edge.
      index = at[name, before]
      moved.append(index)
      before, size = before * dims[index], size // dims[index]
  kept = [n for n in range(len(dims)) if n not in moved]
  rows = order.reshape(dims).transpose(kept + moved)
  return rows.reshape(-1, math.prod(dims[n] for n in moved))
