"""How an attention's view of its input meets that input."""

import flax.linen as nn
import jax

from van_jax import errors

# arXiv:2202.09741, Table 3.
GATES = {
  "multiply": lambda x, attention: x * attention,
  "add": lambda x, attention: x + attention,
  "sigmoid": lambda x, attention: x * attention,  # Of the view's sigmoid.
  "none": lambda x, attention: attention,
}


def gated(
  module: nn.Module, x: jax.Array, view: jax.Array, gate: str
) -> jax.Array:
  """Returns x, [B, H, W, C], under a module's view of it of the same shape.

  What meets x is sown as "attention_map", for `van_jax.analysis`. Nothing is
  kept of it, nor is there a trace of it in the program, unless the caller of
  `apply` makes the collection "intermediates" mutable.

  Args:
    module: the attention, which is running.
    x: what it was given.
    view: what it made of that.
    gate: one of GATES.
  """
  attention = nn.sigmoid(view) if gate == "sigmoid" else view
  module.sow("intermediates", "attention_map", attention)
  return GATES[gate](x, attention)


def check_gate(gate: str) -> None:
  """Raises UserError unless there is such a gate."""
  if gate not in GATES:
    raise errors.UserError(f"gate={gate!r} must be one of {', '.join(GATES)}.")
