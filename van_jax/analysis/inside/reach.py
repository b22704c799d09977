"""How far a receptive field reaches, by the rules of the sizes of kernels."""

from typing import Any

from van_jax import errors, models
from van_jax.analysis.inside import probe
from van_jax.models.attention import lka, table

_FEED_FORWARD = 3  # Taps of its depthwise convolution.


def attention_extent(attention: Any) -> int:
  """Returns the pixels each way that one attention sees of its own input.

  LKA: (2d - 1) + (ceil(K / d) - 1) d, which is 23 for K = 21 and d = 3. LSKA:
  the same with floor(K / d). Its row and its column follow one another, so the
  field is a full square like LKA's and no cross, but each channel's kernel is
  one column times one row. MSCA: 5 + max(k) - 1, a square too.

  Args:
    attention: as a model's `attention` field: a name, or a mapping with fields.

  Raises:
    UserError: for a stranger's attention, whose reach only its gradient tells.
  """
  fields: dict[str, Any] = dict(table.described(attention))
  name = fields.pop("name")
  if name == "msca":
    return 5 + max(fields["kernel_sizes"]) - 1
  if name not in ("lka", "lska"):
    raise errors.UserError(
      f"attention {table.label(table.module_class(name))} is none of "
      f"{', '.join(table.ATTENTIONS)}, and has no known rule; measure it with "
      "receptive_field."
    )
  size, dilation = fields["kernel_size"], fields["dilation"]
  convs = fields.get("convs", lka.CONVS)
  if convs == lka.DENSE:
    return size
  far = size // dilation if name == "lska" else -(-size // dilation)
  near_reach = 2 * dilation - 2 if "depthwise" in convs else 0
  far_reach = (far - 1) * dilation if "dilated" in convs else 0
  return 1 + near_reach + far_reach


def stage_extent(van: models.VAN, stage: int) -> int:
  """Returns the pixels of the image each way that a stage's position sees.

  Backwards from one position: a block adds its attention's reach and that of
  the feed-forward's 3x3 convolution, and an embedding of k taps and stride s
  makes (n - 1) s + k of n. B0's is 4,383 pixels at stage 4; what an image does
  not have of them is zeros.

  Args:
    van: whose attention is van_jax's own.
    stage: 1 to 4.

  Raises:
    UserError: for a stage that is not there, or a stranger's attention.
  """
  probe.check_stage(stage)
  reach = attention_extent(van.attention) - 1 + _FEED_FORWARD - 1
  size = 1
  for s in range(stage, 0, -1):
    taps, stride = (7, 4) if s == 1 else (3, 2)
    size = (size + reach * van.depths[s - 1] - 1) * stride + taps
  return size
