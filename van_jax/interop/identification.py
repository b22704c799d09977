"""What the weights in a file are: whose, of which model, for which images."""

from collections.abc import Mapping
from typing import Any

from absl import logging

from van_jax import errors, models
from van_jax.data.images import (
  dense_preprocessing,
  preprocessing as preprocessing_lib,
)
from van_jax.interop.assignment import arrays, assign
from van_jax.interop.facts import (
  hugging_face,
  image_processors,
  published_preprocessing,
  stage_norms,
  training_config,
)
from van_jax.interop.names import state_dicts
from van_jax.interop.readers import weight_files


def identify(
  contents: weight_files.Contents,
  averaged: bool | None,
  layer_norm_epsilon: float | None,
  backbone_only: bool = False,
) -> tuple[state_dicts.StateDict, Mapping[str, Any], assign.Assignment]:
  """Returns the weights, the config that belongs to them, and their places.

  Args:
    contents: of the file.
    averaged: as for `state_dicts.find`.
    layer_norm_epsilon: of the stage norms; None for what the file tells.
    backbone_only: as for `assign.assign`.

  Raises:
    UserError: if they are not VAN's weights, or not as their config says.
  """
  try:
    weights = state_dicts.find(contents.tree, averaged=averaged)
    config = hugging_face.config(contents.path, weights)
    if layer_norm_epsilon is None:
      layer_norm_epsilon = _epsilon(weights, config, contents.tree)
    elif not 0 < layer_norm_epsilon < 1:
      raise errors.UserError(
        f"layer_norm_epsilon={layer_norm_epsilon} must be above 0 and below 1; "
        f"those of VAN are {stage_norms.OLD} and {stage_norms.NEW}."
      )
    assignment = assign.assign(
      weights,
      layer_norm_epsilon=layer_norm_epsilon,
      backbone_only=backbone_only,
      config=training_config.text(contents.tree),
    )
    if backbone_only:
      _check_headless(assignment.model)
    if config:
      hugging_face.check(config, assignment.model)
    arrays.check_bytes(assignment, contents.bytes)
  except errors.UserError as error:
    raise errors.UserError(f"{contents.path}: {error}") from error
  logging.info(
    "%s: %.1f MB, %s; %s weights of %s, %d classes, in %d arrays.",
    contents.path,
    contents.bytes / 1e6,
    contents.container,
    weights.dialect.table.name,
    _called(assignment.model),
    assignment.model.num_classes,
    len(assignment.entries),
  )
  return weights, config, assignment


def _check_headless(model: models.VAN) -> None:
  """Raises UserError where the head is a classifier's, and thus stays."""
  if model.num_classes:
    raise errors.UserError(
      "backbone_only=True leaves a segmenter's heads out, and these weights "
      "are a classifier's; convert them whole: load_backbone leaves the head "
      "out."
    )


def _called(model: models.VAN | models.Segmenter) -> str:
  """Returns what a model is, in words."""
  if isinstance(model, models.Segmenter):
    second = f" and {model.auxiliary['name']}" if model.auxiliary else ""
    return f"{model.head['name']}{second} on {_called(model.backbone)}"
  return (
    models.variant_name(model)
    or f"a VAN with widths {model.widths} and depths {model.depths}"
  )


def _epsilon(
  weights: state_dicts.StateDict,
  config: Mapping[str, Any],
  tree: Mapping[Any, Any],
) -> float:
  """Returns the stage norms' epsilon, and says where it could be another."""
  if (told := hugging_face.epsilon(config)) is not None:
    return told
  found = stage_norms.epsilon(weights, tree)
  if found.doubt:
    logging.warning(
      "The stage norms have an epsilon of %s: %s. --layer_norm_epsilon sets "
      "another.",
      found.value,
      found.doubt,
    )
  return found.value


def preprocessing(
  contents: weight_files.Contents,
  weights: state_dicts.StateDict,
  config: Mapping[str, Any],
  model: models.VAN | models.Segmenter,
) -> preprocessing_lib.Preprocessing | dense_preprocessing.DensePreprocessing:
  """Returns what the file or its folder says, or published weights have.

  Args:
    contents: of the file.
    weights: in it.
    config: that belongs to them; {} for none.
    model: that they are for.
  """
  if isinstance(model, models.Segmenter):
    return training_config.preprocessing(training_config.text(contents.tree))
  best = published_preprocessing.choose(weights, model, contents.tree)
  if not config:
    return best
  published = (
    models.variant_name(model) is not None
    and best == published_preprocessing.HALF
    and model.num_classes in (0, 1000)
  )
  return image_processors.read(contents.path, published=published) or best
