"""VAN on CamVid (SegNet's 367 training and 101 validation images), small.

The argument is the variant, van_b0 when left out:

  python train.py --config=configs/camvid.py --workdir=runs/camvid \
    --config.data.directory=DIR

DIR/images/train/NAME.png, DIR/labels/train/NAME.png and the same of val;
docs/masks.md says how SegNet's folders become these. From scratch; with
--config.pretrained_bundle=BUNDLE from a backbone. Semantic FPN of 64 channels,
crops of 288 x 288 of images of 480 x 360, 40 epochs: an hour on two CPU cores.
"""

from configs import segmentation

CLASSES = (
  "Sky",
  "Building",
  "Pole",
  "Road",
  "Pavement",
  "Tree",
  "SignSymbol",
  "Fence",
  "Car",
  "Pedestrian",
  "Bicyclist",
)
COLORS = (  # Of the tutorial's pictures.
  (128, 128, 128),
  (128, 0, 0),
  (192, 192, 128),
  (128, 64, 128),
  (60, 40, 222),
  (128, 128, 0),
  (192, 128, 128),
  (64, 64, 128),
  (64, 0, 128),
  (64, 64, 0),
  (0, 128, 192),
)


def get_config(variant="van_b0"):
  """Returns a recipe from scratch."""
  config = segmentation.get_config()
  config.batch_size = 8
  config.pretrained_bundle = ""
  config.model.name = variant
  config.model.num_classes = len(CLASSES)
  config.model.drop_path_rate = 0.0
  config.model.dtype = "bfloat16"
  config.model.head.channels = 64
  config.model.head.pyramid_channels = 64

  config.data.directory = "camvid"
  config.data.options.class_names = CLASSES
  config.data.options.class_colors = COLORS
  config.data.options.ignore_index = 11

  config.augmentation.image_size = 288
  config.augmentation.scale = (480, 360)
  config.preprocessing.scale = (480, 360)

  config.schedule.learning_rate = 1e-3
  config.schedule.warmup_epochs = 2.0
  config.schedule.epochs = 40.0
  config.optimizer.weight_decay = 0.05
  config.optimizer.gradient_clip_norm = 5.0
  config.evaluation.batch_size = 8
  config.evaluation.every_epochs = 10.0
  return config
