"""Layer decay: learning rates that fall from a VAN's head to its input."""

import re
from typing import Any

import jax
import optax

from van_jax import errors
from van_jax.training.recipe import van_prefixes

_STAGE = re.compile(r"(patch_embed|norm)(\d+)")


def scale_by_layer(layer_decay: float) -> optax.GradientTransformation:
  """Returns the step that scales each update by its layer's factor."""

  def init(params: optax.Params) -> optax.EmptyState:
    layer_scales(params, layer_decay)  # Raises for a name without a layer.
    return optax.EmptyState()

  def update(
    updates: optax.Updates,
    state: optax.OptState,
    params: optax.Params | None = None,
  ) -> tuple[optax.Updates, optax.OptState]:
    del params
    scales = layer_scales(updates, layer_decay)
    return jax.tree.map(lambda u, s: u * s, updates, scales), state

  return optax.GradientTransformation(init, update)


def layer_scales(params: Any, layer_decay: float) -> Any:
  """Returns the tree of factors decay ** (top - id), by each leaf's layer.

  patch_embed1 is layer 0, the N blocks are 1 to N through all stages, the
  head is N + 1 = top. A later patch_embed{s} goes with the first block of its
  stage, norm{s} with the last one. So does the last norm, as in timm, whose
  matchers group a final norm with what comes before it; BEiT's and MAE's code
  leaves it at the top, beside the head. Of several VANs each has its own
  layers; what is in none of them, such as the head on a backbone, is at the
  top.

  Args:
    params: nested mappings, named as a "params" collection; the VANs may lie
      below any prefix.
    layer_decay: in (0, 1].

  Raises:
    UserError: when there is no VAN, or a name in one that has no layer.
  """
  prefixes = van_prefixes.find(params)
  if not prefixes:
    raise errors.UserError(
      f"optimizer.layer_decay has no layers: there is no VAN (block1_0, ...) "
      f"below {', '.join(map(str, params))}; set it to None for other networks."
    )
  layers = {
    prefix: _block_ids(van_prefixes.subtree(params, prefix))
    for prefix in prefixes
  }

  def scale(path: tuple[Any, ...], leaf: Any) -> float:
    del leaf
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    for prefix, ids in layers.items():
      if name.startswith(prefix):
        top = len(ids) + 1
        own = name.removeprefix(prefix).split("/")[0]
        return layer_decay ** (top - _layer_id(own, ids, top))
    return 1.0

  return jax.tree_util.tree_map_with_path(scale, params)


def _block_ids(van: Any) -> dict[tuple[int, int], int]:
  """Returns the layer of each block, by stage and number in it."""
  matches = map(van_prefixes.BLOCK.fullmatch, map(str, van))
  blocks = sorted((int(m[1]), int(m[2])) for m in matches if m)
  return {block: index for index, block in enumerate(blocks, start=1)}


def _layer_id(name: str, ids: dict[tuple[int, int], int], top: int) -> int:
  """Returns the layer of a name in a VAN; `ids` are those of the blocks."""
  if name == "head":
    return top
  if name == "patch_embed1":
    return 0
  if match := van_prefixes.BLOCK.fullmatch(name):
    return ids[int(match[1]), int(match[2])]
  if match := _STAGE.fullmatch(name):
    stage = [index for (s, _), index in ids.items() if s == int(match[2])]
    if stage:
      return min(stage) if match[1] == "patch_embed" else max(stage)
  raise errors.UserError(
    f"optimizer.layer_decay has no layer for the parameters of {name!r}: "
    "beside a VAN's blocks names must be VAN's (patch_embed1, norm1, head, "
    "...); put the VAN below a name of its own, or set it to None."
  )
