"""Every key of a segmentation config, with its unit; see configs/default.py.

Images with masks in folders, VAN-B0 with Semantic FPN as the authors train it
on ADE20K (VAN-Segmentation): crops of 512 x 512, 40,000 updates of 32.

  python train.py --config=configs/segmentation.py --workdir=runs/mine \
    --config.pretrained_bundle=BUNDLE --config.data.directory=DIR \
    --config.model.num_classes=K

DIR/images/train/NAME.jpg and DIR/labels/train/NAME.png, DIR/images/val and
DIR/labels/val, and DIR/classes.txt: docs/masks.md has other layouts.
"""

from ml_collections import config_dict

from configs import default

placeholder = config_dict.placeholder
section = config_dict.ConfigDict


def get_config():
  """Returns the defaults for images with masks."""
  config = default.get_config()
  del config.mixing, config.erasing, config.loss  # Of one class an image.
  config.batch_size = 32
  config.pretrained_bundle = "bundle"  # "" for none.

  config.model.num_classes = 150
  config.model.head = section({"name": "fpn"})  # "upernet", or of your own.
  # Trains alone, on an earlier map; "fcn", or None for none.
  config.model.auxiliary = section({"name": placeholder(str)})

  config.task.name = "segmentation"
  # auxiliary_weight, class_weights, ohem_min_kept, ohem_threshold.
  config.task.options = section()

  config.data.name = "pairs"  # Or "tfds_pairs".
  config.data.directory = "data"
  config.data.train_split = "train"
  config.data.eval_split = "val"

  config.augmentation = section()
  config.augmentation.image_size = 512  # Pixels a side of a crop.
  config.augmentation.scale = (2048, 512)  # Pixels that an image fits into.
  config.augmentation.scale_ratio = (0.5, 2.0)  # Factor of that.
  config.augmentation.max_class_share = 0.75  # Of a crop; else another.
  config.augmentation.crop_attempts = 10
  config.augmentation.flip_probability = 0.5
  config.augmentation.distortion_probability = 0.5  # Of each of the four.
  config.augmentation.brightness_delta = 32.0  # Of [0, 255] pixels.
  config.augmentation.contrast_range = (0.5, 1.5)
  config.augmentation.saturation_range = (0.5, 1.5)
  config.augmentation.hue_delta = 18  # Steps of 2 degrees.
  config.augmentation.fill_color = (124, 116, 104)  # 255 times the mean.

  # Of evaluation; mean and std of training too. Stored with the weights.
  config.preprocessing = section()
  config.preprocessing.scale = (2048, 512)  # None: images as they are.
  config.preprocessing.multiple = 32  # Sides are resized up to; pixels.
  config.preprocessing.mean = (0.485, 0.456, 0.406)  # Of [0, 1] pixels.
  config.preprocessing.std = (0.229, 0.224, 0.225)

  config.schedule.name = "polynomial"
  config.schedule.learning_rate = 2e-4
  config.schedule.options = section({"power": 0.9})
  config.schedule.warmup_epochs = 0.0
  config.schedule.end_learning_rate = 0.0
  # 40,000 updates, of ADE20K's 20,210 images 631 an epoch.
  config.schedule.epochs = 40_000 / 631
  config.schedule.cooldown_epochs = 0.0

  config.optimizer.weight_decay = 1e-4
  config.optimizer.undecayed_patterns = ()

  config.evaluation.batch_size = 32
  config.evaluation.every_epochs = 5.0
  config.evaluation.ratios = (1.0,)  # Sizes at which an image is looked at.
  config.evaluation.flip = False  # Mirrored, too.
  config.evaluation.window = placeholder(tuple)  # (height, width) of parts.
  config.evaluation.stride = placeholder(tuple)  # Of parts; None: 2 / 3.
  config.checkpoint.every_epochs = 5.0
  config.logging.every_steps = 50
  return config
