"""VAN-B0 on CIFAR-10.

The argument is where the images come from: `tfds` (the prepared TFDS data set,
the default) or `folder` (DIR/train/CLASS/*.jpg and DIR/test/CLASS/*.jpg):

  python train.py --config=configs/cifar10.py:folder --workdir=runs/cifar10 \
    --config.data.directory=DIR

Top-1 77.5 % of the 10,000 test images after 10 epochs, an hour on two CPU
cores; 32 x 32 pixels leave the last stage a single position.
"""

from configs import default

DATA_NAMES = {"tfds": "cifar10", "folder": "folder"}


def get_config(source="tfds"):
  """Returns a short run from scratch."""
  config = default.get_config()
  config.batch_size = 128
  config.model.num_classes = 10
  config.model.drop_path_rate = 0.0

  config.data.name = DATA_NAMES[source]
  config.data.eval_split = "test"

  config.augmentation.image_size = 32
  config.augmentation.crop = "pad"
  config.augmentation.interpolation = "bilinear"
  config.augmentation.policy = "none"
  config.augmentation.color_jitter = 0.0
  config.preprocessing.image_size = 32
  config.preprocessing.resize_size = 32
  config.preprocessing.interpolation = "bilinear"

  config.mixing.mixup_alpha = 0.0
  config.mixing.cutmix_alpha = 0.0
  config.mixing.label_smoothing = 0.1
  config.erasing.probability = 0.0

  config.schedule.name = "cosine"
  config.schedule.learning_rate = 2e-3
  config.schedule.warmup_epochs = 1.0
  config.schedule.epochs = 10.0
  config.schedule.cooldown_epochs = 0.0

  config.ema.decay = 0.999
  config.ema.warmup = True

  config.evaluation.batch_size = 500
  config.logging.every_steps = 50
  return config
