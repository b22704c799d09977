"""Programs in HLO, written by hand, whose figures one can count."""

from van_jax.analysis.program import hlo
from van_jax.analysis.program.collectives import collectives

_HEAD = """HloModule jit_f, is_scheduled=true, num_partitions=8

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

"""


def module(*lines, before=""):
  """Returns a module of an entry of these lines, and text before it."""
  body = "\n".join(f"  {line}" for line in lines)
  return hlo.parse(
    f"{_HEAD}{before}ENTRY %main (p: f32[4]) -> f32[4] {{\n{body}\n}}\n"
  )


def rows(*lines, before="", mesh=None, slices=1):
  """Returns the collectives of such a module, on a mesh of 8."""
  mesh = {"data": 4, "fsdp": 2} if mesh is None else mesh
  return collectives(module(*lines, before=before), mesh, slices)
