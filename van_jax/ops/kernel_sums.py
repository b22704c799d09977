"""Kernels that are wider than the maps, and what their gradients add up in.

A network that computes in bfloat16 keeps its parameters in float32. Cast before
a convolution, a kernel has a gradient in bfloat16: each device rounds its part,
and the parts are summed over the devices in bfloat16. Operations here take the
kernel as it is, cast it themselves, and give a gradient in its own dtype.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from van_jax import errors


def in_kernels_dtype(
  operation: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """Returns the operation for kernels that may be wider than x.

  It is computed in x's dtype, and so is the gradient for x; the gradient for
  the kernel in the kernel's, from maps that are cast to it, which is exact. On
  TPUs that costs nothing: their units take such operands as bfloat16 again,
  and add up in float32 anyway. Derivatives of all orders and modes are JAX's.

  Args:
    operation: of x and a kernel of the same dtype, linear in each.
  """

  @jax.custom_jvp
  def mixed(x, kernel):
    return operation(x, kernel.astype(x.dtype))

  def along_x(tangent, _, x, kernel):
    return operation(tangent, kernel.astype(x.dtype))

  def along_kernel(tangent, _, x, kernel):
    return operation(x.astype(kernel.dtype), tangent).astype(x.dtype)

  mixed.defjvps(along_x, along_kernel)

  def run(x, kernel):
    same = x.dtype == kernel.dtype
    return operation(x, kernel) if same else mixed(x, kernel)

  return run


def check_dtypes(x: jax.Array, kernel: jax.Array) -> None:
  """Raises UserError unless both are floating, and x no wider."""
  for name, array in (("x", x), ("kernel", kernel)):
    if not jnp.issubdtype(array.dtype, jnp.floating):
      raise errors.UserError(
        f"{name}.dtype={array.dtype} must be floating; cast it first."
      )
  if jnp.promote_types(x.dtype, kernel.dtype) != kernel.dtype:
    raise errors.UserError(
      f"x.dtype={x.dtype} and kernel.dtype={kernel.dtype} must be the same "
      "floating one, or the kernel's the wider; cast one of them."
    )
