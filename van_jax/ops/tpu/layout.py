"""How batches of maps lie on a TPU: [H, W, S, L], and back."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax.ops.tpu.plan import LANES, SUBLANES, Plan, Taps, make_plan


@dataclasses.dataclass(frozen=True)
class Layout:
  """Turns [B, H, W, C] into [H, W, S, L].

  (S, L) is (B, C) or (C, B), whichever fills tiles of (8, 128) better. XLA's
  layouts of activations follow the same rule, so that the transposition moves
  nothing between its operations and ours.

  Attributes:
    batch: B.
    height: H.
    width: W.
    channels: C.
  """

  batch: int
  height: int
  width: int
  channels: int

  @property
  def channels_in_sublanes(self) -> bool:
    """Whether (S, L) is (C, B)."""
    B, C = self.batch, self.channels
    return _up(C, SUBLANES) * _up(B, LANES) < _up(B, SUBLANES) * _up(C, LANES)

  def plan(self, taps: Taps, dtype: DTypeLike, *, maps: int) -> Plan | None:
    """Returns the cut of the map, as laid out, if any; see `make_plan`."""
    sublanes, lanes = self._padded()
    return make_plan(
      (self.height, self.width, sublanes, lanes),
      taps,
      channels_in_sublanes=self.channels_in_sublanes,
      itemsize=jnp.dtype(dtype).itemsize,
      maps=maps,
    )

  def apply(self, x: jax.Array) -> jax.Array:
    """Returns x, [B, H, W, C], as [H, W, S, L], zeros added to S and L."""
    x = jnp.transpose(x, (1, 2, *self._order()))
    sublanes, lanes = self._padded()
    return jnp.pad(
      x,
      ((0, 0), (0, 0), (0, sublanes - x.shape[2]), (0, lanes - x.shape[3])),
    )

  def undo(self, x: jax.Array) -> jax.Array:
    """Returns x, [H, W, S, L], as [B, H, W, C]."""
    order = self._order()
    size = {0: self.batch, 3: self.channels}
    x = x[:, :, : size[order[0]], : size[order[1]]]
    return jnp.transpose(x, (3, 0, 1, 2) if order == (3, 0) else (2, 0, 1, 3))

  def pad_channels(self, kernel: jax.Array) -> jax.Array:
    """Returns a kernel, [kh, kw, C], with the zeros that x's channels got."""
    channels = self._padded()[0 if self.channels_in_sublanes else 1]
    return jnp.pad(kernel, ((0, 0), (0, 0), (0, channels - self.channels)))

  def _order(self):
    return (3, 0) if self.channels_in_sublanes else (0, 3)

  def _padded(self):
    """Returns S, a multiple of 8, and L."""
    if not self.channels_in_sublanes:
      return _up(self.batch, SUBLANES), self.channels
    # Sums over the batch must not meet what lies past its end.
    lanes = self.batch if self.batch < LANES else _up(self.batch, LANES)
    return _up(self.channels, SUBLANES), lanes


def _up(length, multiple):
  return -(-length // multiple) * multiple
