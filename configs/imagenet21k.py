"""VAN-B4 to B6 on ImageNet-21k, whose weights are then fine-tuned to 1k.

The argument is the variant, van_b4 when left out:

  python train.py --config=configs/imagenet21k.py:van_b5 --workdir=runs/b5_21k \
    --config.data.directory=DIR --config.model.dtype=bfloat16

DIR/train/CLASS/*.JPEG are the 21,841 folders of the release of autumn 2011,
14,197,122 images; TensorFlow Datasets has no such data set. It brings no test
images: one in a hundred, by a hash of its name, is kept for evaluation. To read
records instead of files, and smaller ones, see `python -m van_jax.data.resize`.

90 epochs of 1,715 steps at 8,192 images. Settings are those of the scripts that
the authors' repository links (LGYoung's): learning rate, batch, epochs, decay,
drop path, mixing, RandAugment, erasing, mean and crop. They do not say how many
images BatchNorm and mixing see together: here 128, as in the authors' own
train.sh. After fine-tuning the paper reports 85.7 % for B4, 86.3 % for B5 and
86.9 % for B6 (another width, `van_b6_paper`). Ours: not run.
"""

from configs import default

# Drop path of the last block, from those scripts.
DROP_PATH_RATES = {
  "van_b4": 0.1,
  "van_b5": 0.1,
  "van_b6": 0.1,
  "van_b6_paper": 0.1,
}


def get_config(variant="van_b4"):
  """Returns the pretraining of a variant."""
  config = default.get_config()
  config.batch_size = 8192
  config.model.name = variant
  config.model.num_classes = 21841
  config.model.drop_path_rate = DROP_PATH_RATES[variant]
  config.model.batch_norm_group_size = 128
  config.mixing.group_size = 128

  config.data.name = "folder"
  config.data.directory = "~/imagenet21k"
  config.data.train_split = "train[1%:]"
  config.data.eval_split = "train[:1%]"
  config.data.on_damaged = "skip"  # Some of 14 million images are.

  config.augmentation.interpolation = "bicubic"
  config.augmentation.fill_color = (124, 116, 104)
  config.preprocessing.resize_size = 256  # 224 / 0.875.
  config.preprocessing.mean = (0.485, 0.456, 0.406)
  config.preprocessing.std = (0.229, 0.224, 0.225)

  config.schedule.name = "cosine"  # Step by step, as ConvNeXt's code has it,
  config.schedule.learning_rate = 4e-3  # whose layout their files have.
  config.schedule.epochs = 90.0
  config.schedule.cooldown_epochs = 0.0
  return config
