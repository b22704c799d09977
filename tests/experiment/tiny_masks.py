"""The smallest run on images with masks: 6 steps of 4 pairs."""

from configs import segmentation

COLORS = ((0, 0, 255), (128, 64, 128), (64, 0, 128), (128, 128, 0))


def get_config():
  """Returns two epochs of three steps, with a checkpoint every other step."""
  config = segmentation.get_config()
  config.batch_size = 8
  config.pretrained_bundle = ""
  config.model.widths = (8, 8, 16, 16)
  config.model.depths = (1, 1, 1, 1)
  config.model.ffn_ratios = (2, 2, 2, 2)
  config.model.drop_path_rate = 0.0
  config.model.implementation = "xla"  # Compiles in a third of the time.
  config.model.num_classes = 4
  config.model.head = {"name": "fpn", "channels": 8, "pyramid_channels": 8}
  config.data.options.class_names = ("sky", "road", "car", "tree")
  config.data.options.class_colors = COLORS
  config.augmentation.image_size = 32
  config.augmentation.scale = (56, 40)
  config.preprocessing.scale = (64, 64)
  config.schedule.learning_rate = 1e-2
  config.schedule.epochs = 2.0
  config.evaluation.batch_size = 8
  config.evaluation.every_epochs = 1.0
  config.checkpoint.every_epochs = 2 / 3
  config.checkpoint.keep_last = 3
  config.logging.every_steps = 1
  return config
