"""VAN on ADE20K, as in VAN-Segmentation (mmsegmentation 0.12).

The argument is the variant and the head, van_b0,fpn when left out:

  python train.py --config=configs/ade20k.py:van_b2,upernet --workdir=runs/ade \
    --config.pretrained_bundle=BUNDLE --config.data.directory=DIR

DIR is ADEChallengeData2016, and the bundle ImageNet's classifier. Steps are as
many as published: 40,000 of 32 images with Semantic FPN, 160,000 of 16 with
UPerNet, of 32 for B4. Published mIoU (%), single scale: FPN B0 38.5, B1 42.9,
B2 46.7, B3 48.1; UPerNet, several scales and mirrored (at the end alone, by
eval.py with --config.evaluation.ratios=0.5,0.75,1.0,1.25,1.5,1.75
--config.evaluation.flip): B0 41.1, B1 44.9, B2 48.3, B3 50.1, B4 52.2. Ours:
not run. Their B6 is van_b6_paper.
"""

from configs import segmentation

IMAGES = 20_210  # Of training.
# Drop path of the last block, by their configs: what one inherits included.
FPN_DROP_PATH_RATES = {
  "van_b0": 0.2,
  "van_b1": 0.2,
  "van_b2": 0.2,
  "van_b3": 0.3,
  "van_b4": 0.4,
  "van_b5": 0.4,  # These three are not theirs: as with UPerNet.
  "van_b6": 0.5,
  "van_b6_paper": 0.5,
  "van_tiny": 0.2,  # Older names, of B0 to B3.
  "van_small": 0.2,
  "van_base": 0.2,
  "van_large": 0.3,
}
UPERNET_DROP_PATH_RATES = {
  "van_b0": 0.1,
  "van_b1": 0.1,
  "van_b2": 0.1,
  "van_b3": 0.3,
  "van_b4": 0.4,
  "van_b5": 0.4,
  "van_b6": 0.5,
  "van_b6_paper": 0.5,
  "van_tiny": 0.1,
  "van_small": 0.1,
  "van_base": 0.1,
  "van_large": 0.3,
}


def get_config(arguments="van_b0,fpn"):
  """Returns the published recipe of a variant and a head."""
  variant, _, head = arguments.partition(",")
  return HEADS[head or "fpn"](variant)


def fpn(variant):
  """Returns 40,000 updates of 32 images."""
  drop_path_rate = FPN_DROP_PATH_RATES[variant]
  config = _start(variant, batch_size=32, steps=40_000)
  config.model.drop_path_rate = drop_path_rate
  return config


def upernet(variant):
  """Returns 160,000 updates of 16 images, of 32 for B4."""
  drop_path_rate = UPERNET_DROP_PATH_RATES[variant]
  batch_size = 32 if variant == "van_b4" else 16
  config = _start(variant, batch_size=batch_size, steps=160_000)
  config.model.head = {"name": "upernet"}
  config.model.auxiliary = {"name": "fcn"}
  config.model.drop_path_rate = drop_path_rate
  config.schedule.learning_rate = 6e-5
  config.schedule.warmup_learning_rate = 6e-11  # A millionth, as published.
  config.schedule.warmup_epochs = 1_500 / (IMAGES // batch_size)
  config.schedule.options = {"power": 1.0, "falling_warmup": True}
  config.optimizer.weight_decay = 0.01
  # What has "norm" in its name there: the backbone's; heads' are called bn.
  config.optimizer.undecayed_patterns = (r"backbone/(.*/)?norm\d?/.*",)
  return config


def _start(variant, *, batch_size, steps):
  config = segmentation.get_config()
  config.batch_size = batch_size
  config.model.name = variant
  config.data.train_split = "training"
  config.data.eval_split = "validation"
  config.data.options.masks = "annotations"
  config.data.options.reduce_zero_label = True
  config.schedule.epochs = steps / (IMAGES // batch_size)
  return config


HEADS = {"fpn": fpn, "upernet": upernet}
