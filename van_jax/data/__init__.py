"""Images for training and evaluation; needs TensorFlow only once it reads."""

from van_jax.data.augmentation import Augmentation as Augmentation
from van_jax.data.evaluation_batches import (
  EvalBatches as EvalBatches,
  eval_batches as eval_batches,
)
from van_jax.data.preprocessing import (
  Preprocessing as Preprocessing,
  preprocess_image as preprocess_image,
)
from van_jax.data.source import Source as Source, open_source as open_source
from van_jax.data.training_batches import train_batches as train_batches
