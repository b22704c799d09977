"""Attention maps: what each block's attention multiplies its input by."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from van_jax import errors, models
from van_jax.analysis.inside import inputs, probe
from van_jax.models.attention import table

_SOWN = "attention_map"


def attention_maps(
  model: nn.Module,
  variables: Any,
  images: Any,
  *,
  block: str | None = None,
  normalised: bool = True,
) -> dict[str, np.ndarray]:
  """Returns the blocks' attention maps, each [B, h, w] float32 in [0, 1].

  As in Figure 9 of arXiv:2202.09741 a map is the absolute value of what the
  attention's input is multiplied by: LKA's, LSKA's and MSCA's last 1x1
  convolution's output (with gate="sigmoid" the sigmoid of it), here averaged
  over channels. Then each image's map of each block is brought to [0, 1] by its
  own smallest and largest value, (m - min) / (max - min); a flat one is zero.
  So maps tell where, not how much: two blocks or images are compared with
  normalised=False.

  A stranger's attention says what its map is in one line, which changes nothing
  about training: `self.sow("intermediates", "attention_map", view)`, with view
  of [B, h, w, C], or [B, h, w]. Of several that a block sows the last counts.

  `upsample` brings them to the size of the images, `drawing.overlay` over them.

  Args:
    model: a VAN, or a module that holds one.
    variables: of the model.
    images: [B, H, W, 3], normalised.
    block: "stage4/block1", say, for that one alone; stages count from 1 and
      blocks from 0, as in checkpoints. None for all.
    normalised: whether maps are brought to [0, 1].

  Returns:
    by "stage4/block1" and the like, in the order of the network.

  Raises:
    UserError: for a block that is not there, an attention without a map, or
      images that are not normalised [B, H, W, 3].
  """
  images = inputs.checked(images)
  path, van = probe.find_van(model, variables, images)
  names = probe.blocks(van)
  if block is not None:
    names = {block: probe.find_block(van, block)}
  modules = tuple((*path, name) for name in names.values())
  found = _maps(model, modules, variables, jnp.asarray(images))
  if len(found) < len(modules):
    raise _no_map(van)
  maps = {
    name: np.asarray(view) for name, view in zip(names, found, strict=True)
  }
  return {k: _normalised(v) for k, v in maps.items()} if normalised else maps


def channel_strengths(
  model: nn.Module, variables: Any, images: Any, *, block: str
) -> np.ndarray:
  """Returns the mean size of a block's attention map in each channel, [C].

  Args:
    model: a VAN, or a module that holds one.
    variables: of the model.
    images: [B, H, W, 3], normalised.
    block: "stage4/block1", say.

  Raises:
    UserError: for a block that is not there, or an attention without a map
      [B, h, w, C].
  """
  images = inputs.checked(images)
  path, van = probe.find_van(model, variables, images)
  modules = ((*path, probe.find_block(van, block)),)
  found = _strengths(model, modules, variables, jnp.asarray(images))
  if not found:
    raise _no_map(van)
  return np.asarray(found[0])


@functools.partial(jax.jit, static_argnames=("model", "modules"))
def _maps(model, modules, variables, images) -> list[jax.Array]:
  """Returns mean absolute maps, [B, h, w], of the modules that have one."""
  views = _views(model, modules, variables, images)
  return [jnp.mean(v, 3) if v.ndim > 3 else v for v in views]


@functools.partial(jax.jit, static_argnames=("model", "modules"))
def _strengths(model, modules, variables, images) -> list[jax.Array]:
  views = _views(model, modules, variables, images)
  return [jnp.mean(v, (0, 1, 2)) for v in views if v.ndim == 4]


def _views(model, modules, variables, images) -> list[jax.Array]:
  """Returns the absolute values of what the blocks sowed, in their order."""
  _, found = probe.run(model, variables, images)
  last = {
    module: jnp.abs(view.astype(jnp.float32))
    for path, view in found.items()
    for module in modules
    if path[: len(module)] == module and path[-1] == _SOWN
  }
  return [last[module] for module in modules if module in last]


def _no_map(van: models.VAN) -> errors.UserError:
  attention = table.label(table.module_class(van.attention["name"]))
  return errors.UserError(
    f"attention {attention} does not say what its map is; let its __call__ do "
    f'self.sow("intermediates", "{_SOWN}", view) with the view, [B, h, w, C], '
    "that its input is multiplied by."
  )


def _normalised(maps: np.ndarray) -> np.ndarray:
  """Returns maps [B, h, w], each from 0 to 1."""
  low = maps.min((1, 2), keepdims=True)
  spread = maps.max((1, 2), keepdims=True) - low
  return (maps - low) / np.where(spread > 0, spread, 1)
