"""Images for training and evaluation; needs TensorFlow only once it reads."""

from van_jax.data.pipeline import EvalBatches as EvalBatches
from van_jax.data.pipeline import eval_batches as eval_batches
from van_jax.data.pipeline import train_batches as train_batches
from van_jax.data.preprocessing import Preprocessing as Preprocessing
from van_jax.data.preprocessing import preprocess_image as preprocess_image
from van_jax.data.source import Source as Source
from van_jax.data.source import open_source as open_source
