"""AdamW of the official recipe, with clipping, layer decay and freezing."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import jax
import optax

BLOCK = re.compile(r"block(\d+)_(\d+)")
STAGE = re.compile(r"(patch_embed|norm)(\d+)")


def create_optimizer(
  *,
  schedule: optax.Schedule,
  beta1: float,
  beta2: float,
  epsilon: float,
  weight_decay: float,
  gradient_clip_norm: float | None,
  layer_decay: float | None,
  frozen_patterns: Sequence[str],
) -> optax.GradientTransformation:
  """Returns AdamW as torch.optim.AdamW computes it, over parameter groups.

  Decoupled decay: the learning rate multiplies it, and parameters of one
  dimension (biases, norms, layer scales) are spared. Frozen parameters get no
  update, no decay and no moments, and do not count in the clipped norm.

  The masks depend on parameter names, which `init` sees first: it raises the
  errors about patterns and layers, under `jax.eval_shape` too.

  Args:
    schedule: learning rate by updates done before; the rate that an update
      uses is `schedule(step)`, step being the updates done when it starts.
    beta1: decay of the first moment.
    beta2: decay of the second moment.
    epsilon: added to the root of the second moment, after bias correction.
    weight_decay: times learning rate and parameter.
    gradient_clip_norm: largest global norm of gradients; None or 0: no limit.
    layer_decay: factor of the learning rate from each layer to the one below
      (see `layer_scales`); None or 1: one rate for all.
    frozen_patterns: regular expressions, each to match whole parameter paths
      such as "block1_0/attn/proj_1/kernel";
      "(patch_embed1|block1_.*|norm1)/.*" freezes stage 1. Running BatchNorm
      statistics are no parameters and go on; the model freezes those.
  """
  _check_moments(beta1, beta2, epsilon)
  _check_rates(weight_decay, gradient_clip_norm, layer_decay)
  _check_patterns(frozen_patterns)
  steps = [
    optax.scale_by_adam(beta1, beta2, epsilon),
    optax.add_decayed_weights(weight_decay, decays),
    optax.scale_by_learning_rate(schedule),
  ]
  if gradient_clip_norm:
    steps.insert(0, optax.clip_by_global_norm(gradient_clip_norm))
  optimizer = optax.chain(*steps)
  if frozen_patterns:
    optimizer = optax.partition(
      {"trained": optimizer, "frozen": optax.set_to_zero()},
      lambda params: freeze_labels(params, frozen_patterns),
    )
  if layer_decay is not None and layer_decay != 1:
    # Outside of the partition, which would hide frozen layers from the count.
    optimizer = optax.chain(optimizer, scale_by_layer(layer_decay))
  return optimizer


def decays(params: optax.Params) -> Any:
  """Returns the tree of Booleans: does weight decay apply?

  As timm: not to parameters of one dimension.
  """
  return jax.tree.map(lambda p: p.ndim > 1, params)


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
  stage, norm{s} with the last one.

  Args:
    params: tree named as VAN's "params" collection.
    layer_decay: in (0, 1].
  """
  blocks = sorted(
    tuple(int(number) for number in match.groups())
    for match in map(BLOCK.fullmatch, map(str, params))
    if match
  )
  ids = {block: index for index, block in enumerate(blocks, start=1)}
  top = len(blocks) + 1

  def scale(path: tuple[Any, ...], leaf: Any) -> float:
    del leaf
    name = _join(path).split("/")[0]
    return layer_decay ** (top - _layer_id(name, ids, top))

  return jax.tree_util.tree_map_with_path(scale, params)


def _layer_id(name: str, ids: dict[tuple[int, ...], int], top: int) -> int:
  """Returns the layer of a top-level name; `ids` are those of the blocks."""
  if name == "head":
    return top
  if name == "patch_embed1":
    return 0
  if match := BLOCK.fullmatch(name):
    return ids[int(match[1]), int(match[2])]
  if match := STAGE.fullmatch(name):
    stage = [index for (s, _), index in ids.items() if s == int(match[2])]
    if stage:
      return min(stage) if match[1] == "patch_embed" else max(stage)
  raise ValueError(
    f"optimizer.layer_decay has no layer for the parameters of {name!r}: "
    "names must be VAN's (patch_embed1, block1_0, norm1, head, ...); set it "
    "to None for other networks."
  )


def freeze_labels(params: optax.Params, patterns: Sequence[str]) -> Any:
  """Returns the tree of "frozen" and "trained", by the leaves' paths.

  Args:
    params: tree named as VAN's "params" collection.
    patterns: as `frozen_patterns` of `create_optimizer`.
  """
  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  paths = [_join(path) for path, _ in leaves]
  for pattern in patterns:
    if not any(re.fullmatch(pattern, path) for path in paths):
      raise ValueError(_unmatched(pattern, paths))
  frozen = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
  if all(frozen.fullmatch(path) for path in paths):
    raise ValueError(
      f"optimizer.frozen_patterns={tuple(patterns)} must leave something to "
      "train and freeze every parameter; narrow them."
    )
  return jax.tree_util.tree_map_with_path(
    lambda path, _: "frozen" if frozen.fullmatch(_join(path)) else "trained",
    params,
  )


def stop_frozen(params: Any, patterns: Sequence[str]) -> Any:
  """Returns the parameters, those that are frozen closed to gradients.

  Their gradients are then zero, are not computed, and count in no norm.

  Args:
    params: tree named as VAN's "params" collection.
    patterns: as `frozen_patterns` of `create_optimizer`.
  """
  return jax.tree.map(
    lambda p, label: jax.lax.stop_gradient(p) if label == "frozen" else p,
    params,
    freeze_labels(params, patterns),
  )


def _unmatched(pattern: str, paths: Sequence[str]) -> str:
  """Returns the message for a pattern that matches no path."""
  top = dict.fromkeys(path.split("/")[0] for path in paths)
  near = difflib.get_close_matches(pattern, [*paths, *top], n=3, cutoff=0.5)
  hint = f" Nearest: {', '.join(near)}." if near else ""
  return (
    f"optimizer.frozen_patterns: {pattern!r} must match the whole path of a "
    "parameter and matches none; write 'block1_0/.*' for all of block1_0."
    f"{hint} Top-level names: {', '.join(top)}."
  )


def _join(path: tuple[Any, ...]) -> str:
  """Returns a tree path as "block1_0/attn/proj_1/kernel"."""
  return jax.tree_util.keystr(path, simple=True, separator="/")


def _check_moments(beta1: float, beta2: float, epsilon: float) -> None:
  """Raises ValueError for moments that AdamW cannot have."""
  for name, beta in {"beta1": beta1, "beta2": beta2}.items():
    if not 0 <= beta < 1:
      raise ValueError(
        f"optimizer.{name}={beta} must be in [0, 1); the official recipe "
        "uses 0.9 and 0.999."
      )
  if not epsilon > 0:
    raise ValueError(
      f"optimizer.epsilon={epsilon} must be positive, or a gradient of zero "
      "divides by zero; the official recipe uses 1e-8."
    )


def _check_rates(
  weight_decay: float, clip_norm: float | None, layer_decay: float | None
) -> None:
  """Raises ValueError for factors outside of their ranges."""
  if not weight_decay >= 0:
    raise ValueError(
      f"optimizer.weight_decay={weight_decay} must not be negative; 0 turns "
      "it off and the official recipe uses 0.05."
    )
  if clip_norm is not None and not clip_norm >= 0:
    raise ValueError(
      f"optimizer.gradient_clip_norm={clip_norm} must not be negative; None "
      "or 0 turns it off."
    )
  if layer_decay is not None and not 0 < layer_decay <= 1:
    raise ValueError(
      f"optimizer.layer_decay={layer_decay} must be in (0, 1]; None or 1 "
      "turns it off."
    )


def _check_patterns(patterns: Sequence[str]) -> None:
  """Raises ValueError for what is no sequence of regular expressions."""
  if isinstance(patterns, str):
    raise ValueError(
      f"optimizer.frozen_patterns={patterns!r} must be a sequence of "
      "patterns; put the string into a tuple."
    )
  for pattern in patterns:
    try:
      re.compile(pattern)
    except re.error as error:
      raise ValueError(
        f"optimizer.frozen_patterns: {pattern!r} must be a regular expression "
        f"and is not ({error}); escape or balance it."
      ) from error
