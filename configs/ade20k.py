"""VAN on ADE20K, as in VAN-Segmentation (mmsegmentation 0.12).

The argument is the variant and the head, van_b0,fpn when left out:

  python train.py --config=configs/ade20k.py:van_b2,upernet --workdir=runs/ade \
    --config.pretrained_bundle=BUNDLE --config.data.directory=DIR

DIR is ADEChallengeData2016, and the bundle ImageNet's classifier. Steps are as
many as published: 40,000 of 32 images with Semantic FPN, 160,000 of 16 with
UPerNet. Published mIoU (%), single scale: FPN B0 38.5, B1 42.9, B2 46.7, B3
48.1; UPerNet, several scales and mirrored: B0 41.1, B1 44.9, B2 48.3, B3 50.1,
B4 52.2. Ours: not run.
"""

from configs import imagenet1k, segmentation
from van_jax import errors

HEADS = ("fpn", "upernet")
IMAGES = 20_210  # Of training.
FPN_STEPS, FPN_BATCH = 40_000, 32
UPERNET_STEPS, UPERNET_BATCH, UPERNET_WARMUP = 160_000, 16, 1_500
# Of mmsegmentation's multi-scale test, with evaluation.flip=True.
RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def get_config(arguments="van_b0,fpn"):
  """Returns the published recipe of a variant and a head."""
  variant, _, head = arguments.partition(",")
  head = head or "fpn"
  if head not in HEADS:
    raise errors.UserError(
      f"ade20k.py:{arguments}: the head {head!r} must be one of "
      f"{', '.join(HEADS)}."
    )
  config = segmentation.get_config()
  config.model.name = variant
  config.model.head = {"name": head}
  config.data.train_split = "training"
  config.data.eval_split = "validation"
  config.data.options.masks = "annotations"
  config.data.options.reduce_zero_label = True
  if head == "fpn":
    large = variant not in ("van_b0", "van_b1", "van_tiny", "van_small")
    config.model.drop_path_rate = 0.2 if large else 0.1
    _set_steps(config, FPN_BATCH, FPN_STEPS)
    return config
  config.model.drop_path_rate = imagenet1k.DROP_PATH_RATES[variant]
  config.model.auxiliary = {"name": "fcn"}
  _set_steps(config, UPERNET_BATCH, UPERNET_STEPS, UPERNET_WARMUP)
  config.schedule.learning_rate = 6e-5
  config.schedule.warmup_learning_rate = 6e-11  # A millionth, as published.
  config.schedule.options.power = 1.0
  config.schedule.options.falling_warmup = True
  config.optimizer.weight_decay = 0.01
  # What has "norm" in its name there: the backbone's; theirs are called bn.
  config.optimizer.undecayed_patterns = (r"backbone/(.*/)?norm\d?/.*",)
  config.evaluation.ratios = RATIOS
  config.evaluation.flip = True
  return config


def _set_steps(config, batch_size, steps, warmup=0):
  epoch = IMAGES // batch_size
  config.batch_size = batch_size
  config.schedule.epochs = steps / epoch
  config.schedule.warmup_epochs = warmup / epoch
