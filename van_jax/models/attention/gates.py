"""How an attention's view of its input meets that input."""

import flax.linen as nn
import jax

from van_jax import errors

# arXiv:2202.09741, Table 3.
GATES = {
  "multiply": lambda x, view: x * view,
  "add": lambda x, view: x + view,
  "sigmoid": lambda x, view: x * nn.sigmoid(view),
  "none": lambda x, view: view,
}


def gated(x: jax.Array, view: jax.Array, gate: str) -> jax.Array:
  """Returns x, [B, H, W, C], under its view of the same shape."""
  return GATES[gate](x, view)


def check_gate(gate: str) -> None:
  """Raises UserError unless there is such a gate."""
  if gate not in GATES:
    raise errors.UserError(f"gate={gate!r} must be one of {', '.join(GATES)}.")
