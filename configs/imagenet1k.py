"""VAN on ImageNet-1k from scratch, as in arXiv 2202.09741 and its train.sh.

The argument is the variant, van_b0 when left out; van_tiny, van_small, van_base
and van_large are the paper's names of van_b0 to van_b3:

  python train.py --config=configs/imagenet1k.py:van_b2 --workdir=runs/b2

TensorFlow Datasets' imagenet2012 must be prepared first, from archives that
one downloads by hand; it says which and where to put them:

  python -m van_jax.data.prepare imagenet2012 --directory=~/tensorflow_datasets

310 epochs of 1,251 steps at 1,024 images. Authors report top-1 (%): B0 75.4,
B1 81.1, B2 82.8, B3 83.9; B4 to B6 were pretrained on ImageNet-22k. Ours: not
run.
"""

from configs import default

# Drop path of the last block: train.sh, and OpenMMLab's configs for B4 to B6.
DROP_PATH_RATES = {
  "van_b0": 0.1,
  "van_b1": 0.1,
  "van_b2": 0.1,
  "van_b3": 0.2,
  "van_b4": 0.2,
  "van_b5": 0.2,
  "van_b6": 0.3,
  "van_b6_paper": 0.3,
  "van_tiny": 0.1,
  "van_small": 0.1,
  "van_base": 0.1,
  "van_large": 0.2,
}


def get_config(variant="van_b0"):
  """Returns the official recipe for a variant."""
  config = default.get_config()
  config.model.name = variant
  config.model.drop_path_rate = DROP_PATH_RATES[variant]
  config.model.batch_norm_group_size = 128  # Statistics a GPU of theirs,
  config.mixing.group_size = 128  # which mixes its own images.
  return config
