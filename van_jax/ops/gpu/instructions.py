"""Single instructions of the GPU that XLA would make several of.

XLA compiles Triton's kernels without contracting a multiplication and an
addition, and ptxas fuses none that say how they round: twice as many
instructions, where instructions are the limit. A power of two and a quotient
come with steps for denormal numbers, which nothing here depends on.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.pallas import triton as plgpu


class Instructions(NamedTuple):
  """Functions of float32, elementwise.

  Attributes:
    multiply_add: of a, b and c: a * b + c.
    exp2: 2**a, to 2 units in the last place.
    reciprocal: 1 / a, to one.
  """

  multiply_add: Callable[..., jax.Array]
  exp2: Callable[..., jax.Array]
  reciprocal: Callable[..., jax.Array]


def _assembled(code: str) -> Callable[..., jax.Array]:
  """Returns the instruction of PTX as a function of arrays."""

  def run(*arrays):
    shape = jnp.broadcast_shapes(*map(jnp.shape, arrays))
    operands = ", ".join(f"${n}" for n in range(len(arrays) + 1))
    (result,) = plgpu.elementwise_inline_asm(
      f"{code} {operands};",
      args=[
        jnp.broadcast_to(jnp.asarray(a, jnp.float32), shape) for a in arrays
      ],
      constraints=",".join(["=f"] + ["f"] * len(arrays)),
      pack=1,
      result_shape_dtypes=[jax.ShapeDtypeStruct(shape, jnp.float32)],
    )
    return result

  return run


_ON_GPU = Instructions(
  _assembled("fma.rn.f32"),
  _assembled("ex2.approx.ftz.f32"),
  _assembled("rcp.approx.ftz.f32"),
)
_INTERPRETED = Instructions(
  lambda a, b, c: a * b + c, jnp.exp2, lambda a: 1.0 / a
)


def instructions(interpret: bool) -> Instructions:
  """Returns them, or what Pallas's interpreter runs for them."""
  return _INTERPRETED if interpret else _ON_GPU
