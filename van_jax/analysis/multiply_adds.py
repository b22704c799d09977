"""Multiply-adds of a traced program: its matrix products and convolutions."""

import math
from collections.abc import Iterator
from typing import Any


def multiply_adds(jaxpr: Any) -> int:
  """Returns the multiply-adds of a jaxpr and of all programs within it.

  Of branches the costliest counts, a scan's body counts as often as it runs,
  and that of a loop without a known end once. Zeros around a map count as the
  numbers of a map do.

  Args:
    jaxpr: as `jax.make_jaxpr` returns it, closed or not.
  """
  return sum(map(_of_equation, getattr(jaxpr, "jaxpr", jaxpr).eqns))


def _of_equation(equation: Any) -> int:
  kind, params = equation.primitive.name, equation.params
  if kind == "dot_general":
    (contracted, _), _ = params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    return equation.outvars[0].aval.size * math.prod(
      shape[axis] for axis in contracted
    )
  if kind == "conv_general_dilated":
    kernel = equation.invars[1].aval
    features = kernel.shape[params["dimension_numbers"].rhs_spec[0]]
    return equation.outvars[0].aval.size * (kernel.size // features)
  inner = [multiply_adds(program) for program in _programs(params.values())]
  if kind == "cond":
    return max(inner)
  return params.get("length", 1) * sum(inner) if kind == "scan" else sum(inner)


def _programs(values: Any) -> Iterator[Any]:
  """Yields the jaxprs among an equation's parameters."""
  for value in values:
    if isinstance(value, list | tuple):
      yield from _programs(value)
    elif hasattr(getattr(value, "jaxpr", value), "eqns"):
      yield value
