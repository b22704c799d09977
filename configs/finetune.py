"""Fine-tuning a bundle on a folder of class folders.

The argument is the variant of the bundle, van_b0 when left out:

  python train.py --config=configs/finetune.py:van_b0 --workdir=runs/mine \
    --config.pretrained_bundle=BUNDLE --config.data.directory=DIR \
    --config.model.num_classes=K

DIR/train/CLASS/*.jpg and DIR/val/CLASS/*.jpg. The head is initialised anew
when the bundle has another number of classes. Layers learn at rates that fall
by `layer_decay` towards the input, as is usual since BEiT (arXiv 2106.08254),
the last norm's at that of the last block, as in timm (BEiT: at the head's); the
rest is the official recipe with a short schedule. Not run on a published
data set.
"""

from configs import default


def get_config(variant="van_b0"):
  """Returns a short fine-tuning with layer-wise rates."""
  config = default.get_config()
  config.batch_size = 128
  config.pretrained_bundle = "bundle"
  config.model.name = variant
  config.model.batch_norm_frozen = True  # Small batches would spoil them.

  config.data.name = "folder"
  config.data.directory = "data"
  config.data.eval_split = "val"

  config.augmentation.crop_scale = (0.25, 1.0)
  config.mixing.mixup_alpha = 0.0
  config.mixing.cutmix_alpha = 0.0
  config.erasing.probability = 0.0

  config.schedule.name = "cosine"
  config.schedule.learning_rate = 5e-4
  config.schedule.warmup_epochs = 1.0
  config.schedule.epochs = 10.0
  config.schedule.cooldown_epochs = 0.0

  config.optimizer.layer_decay = 0.8
  config.optimizer.gradient_clip_norm = 5.0

  config.evaluation.batch_size = 128
  config.logging.every_steps = 20
  return config
