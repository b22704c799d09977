"""Optimizers by name, with weight decay, clipping, layer decay and freezing.

A row of the table is a function `(decay, **own options) -> steps`: optax's
transformations in their order, with `decay`, the one that adds weight decay,
at the optimizer's own place for it. Clipping comes before them, the learning
rate, freezing and layer decay after.
"""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import optax

from van_jax import errors, imports, signatures
from van_jax.training.recipe import (
  freezing,
  layer_decay as layer_decay_lib,
  path_patterns,
)

Transformation = optax.GradientTransformation
_UNDECAYED = "optimizer.undecayed_patterns"


def create_optimizer(
  *,
  schedule: optax.Schedule,
  name: str = "adamw",
  weight_decay: float = 0.05,
  gradient_clip_norm: float | None = None,
  layer_decay: float | None = None,
  frozen_patterns: Sequence[str] = (),
  undecayed_patterns: Sequence[str] | None = None,
  options: Mapping[str, Any] | None = None,
) -> Transformation:
  """Returns an optimizer over parameter groups; the official AdamW by default.

  Parameters of one dimension (biases, norms, layer scales) are spared from
  weight decay, or those that patterns say. Frozen parameters get no update, no
  decay and no moments, and do not count in the clipped norm.

  The masks depend on parameter names, which `init` sees first: it raises the
  errors about patterns and layers, under `jax.eval_shape` too.

  Args:
    schedule: learning rate by updates done before; the rate that an update
      uses is `schedule(step)`, step being the updates done when it starts.
    name: of `OPTIMIZERS`, or an import path, "module:function", of a function
      like theirs.
    weight_decay: times learning rate and parameter.
    gradient_clip_norm: largest global norm of gradients; None or 0: no limit.
    layer_decay: factor of the learning rate from each layer to the one below
      (see `layer_decay.layer_scales`); None or 1: one rate for all.
    frozen_patterns: regular expressions, each to match whole parameter paths
      such as "block1_0/attn/proj_1/kernel";
      "(patch_embed1|block1_.*|norm1)/.*" freezes stage 1. Running BatchNorm
      statistics are no parameters and go on; the model freezes those.
    undecayed_patterns: the same, of what is spared from weight decay: () for
      nothing; None for all parameters of one dimension.
    options: the named one's own; None for its defaults.

  Raises:
    UserError: for an unknown name or option, with the nearest, or a value
      out of range.
  """
  rule = imports.choose(name, OPTIMIZERS, "optimizer.name")
  signatures.check(rule, options or {}, "optimizer.options", given=("decay",))
  _check_rates(weight_decay, gradient_clip_norm, layer_decay)
  freezing.check_patterns(frozen_patterns)
  mask: Any = decays
  if undecayed_patterns is not None:
    path_patterns.check(undecayed_patterns, _UNDECAYED)
    mask = functools.partial(
      _decays_but,
      patterns=tuple(undecayed_patterns),
      required=not frozen_patterns,  # Beside them it sees but the rest.
    )
  decay = optax.add_decayed_weights(weight_decay, mask)
  own = rule(decay, **(options or {}))
  if not isinstance(own, list | tuple):
    raise errors.UserError(
      f"optimizer.name={name!r} gives {own!r} and must give a list of optax's "
      "transformations, the decay among them."
    )
  steps = [*own, optax.scale_by_learning_rate(schedule)]
  if gradient_clip_norm:
    steps.insert(0, optax.clip_by_global_norm(gradient_clip_norm))
  optimizer = optax.chain(*steps)
  if frozen_patterns:
    optimizer = optax.partition(
      {"trained": optimizer, "frozen": optax.set_to_zero()},
      lambda params: freezing.freeze_labels(params, frozen_patterns),
    )
  if layer_decay is not None and layer_decay != 1:
    # Outside of the partition, which would hide frozen layers from the count.
    by_layer = layer_decay_lib.scale_by_layer(layer_decay)
    optimizer = optax.chain(optimizer, by_layer)
  return optimizer


def decays(params: optax.Params) -> Any:
  """Returns the tree of Booleans: does weight decay apply?

  As timm: not to parameters of one dimension.
  """
  return jax.tree.map(lambda p: p.ndim > 1, params)


def _decays_but(
  params: optax.Params, patterns: Sequence[str], *, required: bool
) -> Any:
  """Returns the tree of Booleans: does no pattern match?"""
  spared = path_patterns.matched(
    params, patterns, field=_UNDECAYED, required=required
  )
  return jax.tree.map(operator.not_, spared)


def adamw(
  decay: Transformation,
  *,
  beta1: float = 0.9,
  beta2: float = 0.999,
  epsilon: float = 1e-8,
) -> list[Transformation]:
  """Returns AdamW's steps, as torch.optim.AdamW computes it.

  Args:
    decay: decoupled from the moments.
    beta1: decay of the first moment.
    beta2: decay of the second moment.
    epsilon: added to the root of the second moment, after bias correction.
  """
  _check_betas(beta1=beta1, beta2=beta2)
  _check_positive(epsilon=epsilon)
  return [optax.scale_by_adam(beta1, beta2, epsilon), decay]


def lion(
  decay: Transformation, *, beta1: float = 0.9, beta2: float = 0.99
) -> list[Transformation]:
  """Returns Lion's steps (arXiv 2302.06675): the sign of an average.

  Each update has the size of the rate: take a rate 3 to 10 times lower than
  AdamW's, and a weight decay as many times higher.

  Args:
    decay: decoupled from the sign.
    beta1: of the average whose sign is taken.
    beta2: of the average that is kept.
  """
  _check_betas(beta1=beta1, beta2=beta2)
  return [optax.scale_by_lion(beta1, beta2), decay]


def lamb(
  decay: Transformation,
  *,
  beta1: float = 0.9,
  beta2: float = 0.999,
  epsilon: float = 1e-6,
) -> list[Transformation]:
  """Returns LAMB's steps (arXiv 1904.00962): AdamW's, as long as the weights.

  Args:
    decay: part of what the ratio of norms, a parameter's to its update's,
      scales.
    beta1: decay of the first moment.
    beta2: decay of the second moment.
    epsilon: added to the root of the second moment, after bias correction.
  """
  _check_betas(beta1=beta1, beta2=beta2)
  _check_positive(epsilon=epsilon)
  adam = optax.scale_by_adam(beta1, beta2, epsilon)
  return [adam, decay, optax.scale_by_trust_ratio()]


def sgd(
  decay: Transformation, *, momentum: float = 0.9, nesterov: bool = False
) -> list[Transformation]:
  """Returns the steps of SGD with momentum, as torch.optim.SGD computes it.

  Args:
    decay: a part of the gradient, so that momentum takes it up.
    momentum: decay of the sum of gradients; 0 for plain SGD.
    nesterov: look one step ahead.
  """
  _check_betas(momentum=momentum)
  return [decay, optax.trace(momentum, nesterov)]


def adafactor(
  decay: Transformation,
  *,
  decay_rate: float = 0.8,
  clipping_threshold: float = 1.0,
  multiply_by_parameter_scale: bool = True,
  min_dim_size_to_factor: int = 128,
  epsilon: float = 1e-30,
) -> list[Transformation]:
  """Returns Adafactor's steps (arXiv 1804.04235), as optax.adafactor's.

  Args:
    decay: times the learning rate, as for all optimizers here; optax's own
      function adds it without.
    decay_rate: the second moment of update t decays by 1 - t ** -decay_rate.
    clipping_threshold: largest root mean square of a parameter's update.
    multiply_by_parameter_scale: times the root mean square of the parameter,
      which makes the learning rate a relative one: 1e-2, say.
    min_dim_size_to_factor: kernels whose second largest side is shorter keep
      their second moment whole.
    epsilon: added to the squared gradient.
  """
  _check_positive(
    decay_rate=decay_rate,
    clipping_threshold=clipping_threshold,
    epsilon=epsilon,
  )
  steps = [
    optax.scale_by_factored_rms(
      decay_rate=decay_rate,
      min_dim_size_to_factor=min_dim_size_to_factor,
      epsilon=epsilon,
    ),
    optax.clip_by_block_rms(clipping_threshold),
  ]
  if multiply_by_parameter_scale:
    steps.append(optax.scale_by_param_block_rms())
  return [*steps, decay]


OPTIMIZERS: dict[str, Callable[..., list[Transformation]]] = {
  "adamw": adamw,
  "lion": lion,
  "lamb": lamb,
  "sgd": sgd,
  "adafactor": adafactor,
}


def _check_betas(**betas: float) -> None:
  """Raises UserError for decays of averages outside of [0, 1)."""
  for name, beta in betas.items():
    if not 0 <= beta < 1:
      raise errors.UserError(
        f"optimizer.options.{name}={beta} must be in [0, 1), a part that an "
        "average keeps; 0.9 is usual."
      )


def _check_positive(**values: float) -> None:
  """Raises UserError for values that must be above 0."""
  for name, value in values.items():
    if not value > 0:
      raise errors.UserError(
        f"optimizer.options.{name}={value} must be positive; leave it out for "
        "its default."
      )


def _check_rates(
  weight_decay: float, clip_norm: float | None, layer_decay: float | None
) -> None:
  """Raises UserError for factors outside of their ranges."""
  if not weight_decay >= 0:
    raise errors.UserError(
      f"optimizer.weight_decay={weight_decay} must not be negative; 0 turns "
      "it off and the official recipe uses 0.05."
    )
  if clip_norm is not None and not clip_norm >= 0:
    raise errors.UserError(
      f"optimizer.gradient_clip_norm={clip_norm} must not be negative; None "
      "or 0 turns it off."
    )
  if layer_decay is not None and not 0 < layer_decay <= 1:
    raise errors.UserError(
      f"optimizer.layer_decay={layer_decay} must be in (0, 1]; None or 1 "
      "turns it off."
    )
