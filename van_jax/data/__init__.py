"""Images for training and evaluation; needs TensorFlow only once it reads."""

from van_jax.data.augment.dense_options import (
  DenseAugmentation as DenseAugmentation,
)
from van_jax.data.augment.options import Augmentation as Augmentation
from van_jax.data.images.dense_preprocessing import (
  DensePreprocessing as DensePreprocessing,
  preprocess_whole as preprocess_whole,
)
from van_jax.data.images.preprocessing import (
  Preprocessing as Preprocessing,
  preprocess_image as preprocess_image,
)
from van_jax.data.mask_numbering import (
  VOID as VOID,
  MaskNumbering as MaskNumbering,
)
from van_jax.data.pipeline.dense_eval import (
  DenseEvalBatches as DenseEvalBatches,
)
from van_jax.data.pipeline.eval import (
  EvalBatches as EvalBatches,
  eval_batches as eval_batches,
)
from van_jax.data.pipeline.train import train_batches as train_batches
from van_jax.data.sources.memory_split import MemorySplit as MemorySplit
from van_jax.data.sources.open import (
  Source as Source,
  open_source as open_source,
)
from van_jax.data.sources.split import (
  IndexedSplit as IndexedSplit,
  Split as Split,
)
