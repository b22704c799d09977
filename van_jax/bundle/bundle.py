"""What a bundle is in memory."""

import dataclasses
from typing import Any

from van_jax import models
from van_jax.data.images import preprocessing as preprocessing_lib

CLASSIFICATION = "classification"  # The task of bundles that name none.


@dataclasses.dataclass(frozen=True)
class Bundle:
  """A model, its weights, and how to feed it.

  Attributes:
    model: the Flax module.
    variables: {"params", "batch_stats"}, float32 arrays.
    preprocessing: what the weights were trained to be fed with.
    labels: one name a class, or None where they are not known.
    source: where the weights came from; plain JSON values.
    task: what the model's outputs are for, by name.
  """

  model: models.VAN
  variables: dict[str, Any]
  preprocessing: preprocessing_lib.Preprocessing
  labels: tuple[str, ...] | None
  source: dict[str, Any]
  task: str = CLASSIFICATION
