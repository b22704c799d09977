"""The smallest run with every part in it, for tests: 12 steps on digits."""

from configs import digits


def get_config():
  """Returns two epochs of six steps, with a checkpoint every other step."""
  config = digits.get_config()
  config.batch_size = 16
  config.model.widths = (8, 8, 16, 16)
  config.model.depths = (1, 1, 1, 1)
  config.model.ffn_ratios = (2, 2, 2, 2)
  config.model.drop_path_rate = 0.3
  config.model.implementation = "xla"  # Compiles in a third of the time.
  config.data.train_split = "train[:100]"  # 4 are left over.
  config.data.eval_split = "test[:42]"
  config.mixing.mixup_alpha = 0.4
  config.mixing.label_smoothing = 0.1
  config.schedule.epochs = 2.0
  config.schedule.warmup_epochs = 0.5
  config.ema.decay = 0.9
  config.ema.warmup = True
  config.evaluation.batch_size = 16
  config.evaluation.every_epochs = 1.0
  config.checkpoint.every_epochs = 1 / 3
  config.checkpoint.keep_last = 3
  config.logging.every_steps = 1
  return config
