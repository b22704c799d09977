"""Every key of a config, with its unit. Other configs change what they need.

The values are the official ImageNet-1k recipe for VAN-B0 (arXiv 2202.09741 and
the authors' train.sh): 8 x 128 examples a step, 310 epochs.

  python train.py --config=configs/imagenet1k.py:van_b0 --workdir=runs/b0

Keys that end in `_epochs` may be fractions. A key that is None can be set from
the command line all the same, and with =None again; its type is fixed here.
What a name brings along goes below `attention` or `options`: any key may be set
there that the named thing has, --config.model.attention.kernel_size=35 say.
"""

from typing import Any

from ml_collections import config_dict

placeholder = config_dict.placeholder


def get_config() -> Any:
  """Returns the defaults, a ConfigDict."""
  config: Any = config_dict.ConfigDict()
  config.seed = 0  # Of the first weights, order, augmentation and dropout.
  config.batch_size = 1024  # Images an update, over all devices.
  config.accumulation_steps = 1  # Micro-batches that a batch is cut into.
  # Folder, or released weights' name, to fine-tune from; "" for none.
  config.pretrained_bundle = ""
  config.pretrained_head_scale = 1.0  # Of a classifier's head, where it is new.
  config.compilation_cache = "~/.cache/van_jax"  # Folder; "" for none.

  config.model = config_dict.ConfigDict()
  config.model.name = "van_b0"  # See van_jax.list_models().
  config.model.num_classes = 1000
  config.model.widths = placeholder(tuple)  # A stage; None: as of the name.
  config.model.depths = placeholder(tuple)
  config.model.ffn_ratios = placeholder(tuple)
  config.model.drop_path_rate = 0.1  # Of the last block; linear from 0.
  config.model.dropout_rate = 0.0
  config.model.layer_scale_init = 1e-2
  config.model.layer_norm_epsilon = 1e-6
  config.model.attention = config_dict.ConfigDict({"name": "lka"})
  config.model.batch_norm_group_size = placeholder(int)  # None: whole batch.
  config.model.batch_norm_frozen = False  # Running statistics in training.
  config.model.dtype = "float32"  # Of the computation; or "bfloat16".
  config.model.remat = False  # Recompute blocks in the backward pass.
  config.model.implementation = "auto"  # Of all operations; "xla": plain.

  config.data = config_dict.ConfigDict()
  config.data.name = "imagenet2012"  # A TFDS name, "digits" or "folder".
  config.data.directory = "~/tensorflow_datasets"  # Or the folder itself.
  config.data.train_split = "train"
  config.data.eval_split = "validation"
  config.data.on_damaged = "raise"  # Or "skip": log it, show another instead.
  config.data.exif_rotation = False  # Turn images as their EXIF data say.
  config.data.options = config_dict.ConfigDict()  # Of the named kind of data.

  config.augmentation = config_dict.ConfigDict()
  config.augmentation.image_size = 224  # Pixels a side, in training.
  config.augmentation.crop = "random_resized"  # Or "pad", or "none".
  config.augmentation.crop_scale = (0.08, 1.0)  # Of the image's area.
  config.augmentation.crop_ratio = (3 / 4, 4 / 3)  # Width / height.
  config.augmentation.pad_pixels = 4  # A side, for crop = "pad".
  config.augmentation.pad_mode = "reflect"  # Or "zero".
  config.augmentation.flip_probability = 0.5
  config.augmentation.interpolation = "random"  # Bilinear or bicubic.
  config.augmentation.policy = "randaugment"  # "three_augment" or "none".
  config.augmentation.operations = ()  # Of RandAugment; () for timm's.
  config.augmentation.randaugment_ops = 2  # An image.
  config.augmentation.randaugment_magnitude = 9.0  # Of 10.
  config.augmentation.randaugment_std = 0.5  # Of the magnitude.
  config.augmentation.randaugment_probability = 0.5  # Of each operation.
  config.augmentation.color_jitter = 0.4  # Not applied beside RandAugment.
  config.augmentation.fill_color = (128, 128, 128)  # 255 times the mean.
  config.augmentation.repeats = 1  # Copies of an example, spread over a batch.

  # Of evaluation; mean and std of training too. Stored with the weights.
  config.preprocessing = config_dict.ConfigDict()
  config.preprocessing.image_size = 224  # Pixels a side.
  config.preprocessing.resize_mode = "short_side"  # Or "warp".
  config.preprocessing.resize_size = 248  # Pixels; floor(224 / 0.9).
  config.preprocessing.crop_pct = placeholder(float)  # timm's, in place of it.
  config.preprocessing.interpolation = "bicubic"
  config.preprocessing.mean = (0.5, 0.5, 0.5)  # Of [0, 1] pixels.
  config.preprocessing.std = (0.5, 0.5, 0.5)

  config.mixing = config_dict.ConfigDict()
  config.mixing.mixup_alpha = 0.8  # 0 for no mixup.
  config.mixing.cutmix_alpha = 1.0  # 0 for no CutMix.
  config.mixing.switch_probability = 0.5  # Of CutMix, when both are on.
  config.mixing.probability = 1.0  # Of mixing a group at all.
  config.mixing.label_smoothing = 0.1
  config.mixing.group_size = placeholder(int)  # Examples a draw; None: batch.

  config.task = config_dict.ConfigDict()
  config.task.name = "classification"  # Or MODULE:FUNCTION of your own.
  config.task.options = config_dict.ConfigDict()  # The task's own.

  config.loss = config_dict.ConfigDict()  # Of the task, if it takes one.
  config.loss.name = "cross_entropy"  # Or "binary_cross_entropy".
  config.loss.options = config_dict.ConfigDict()  # target_threshold, say.

  config.erasing = config_dict.ConfigDict()  # After mixing and normalising.
  config.erasing.probability = 0.25  # Of an image; 0 for no erasing.
  config.erasing.mode = "pixel"  # Noise a pixel; or "rand" (a box), "const".
  config.erasing.count = 1  # The most boxes an image.
  config.erasing.area = (0.02, 1 / 3)  # Of the image's, all boxes together.
  config.erasing.min_aspect = 0.3  # Height / width; at most its inverse.

  config.schedule = config_dict.ConfigDict()
  config.schedule.name = "official"  # "cosine", "polynomial", "constant".
  config.schedule.learning_rate = 1e-3  # Peak, at this batch_size.
  config.schedule.warmup_learning_rate = 1e-6
  config.schedule.end_learning_rate = 1e-6
  config.schedule.warmup_epochs = 5.0  # Part of `epochs`.
  config.schedule.epochs = 300.0
  config.schedule.cooldown_epochs = 10.0  # After `epochs`.
  config.schedule.options = config_dict.ConfigDict()  # polynomial's power.

  config.optimizer = config_dict.ConfigDict()
  config.optimizer.name = "adamw"  # "lion", "lamb", "sgd" or "adafactor".
  # The named one's own, such as beta1, beta2 and epsilon; absent ones have its
  # defaults, which training/recipe/optimizers.py lists.
  config.optimizer.options = config_dict.ConfigDict()
  config.optimizer.weight_decay = 0.05
  # Regular expressions of paths that it spares; None: all of one dimension.
  config.optimizer.undecayed_patterns = placeholder(tuple)
  config.optimizer.gradient_clip_norm = placeholder(float)  # Global norm.
  config.optimizer.layer_decay = placeholder(float)  # Factor a layer, <= 1.
  config.optimizer.frozen_patterns = ()  # Regular expressions of paths.

  config.ema = config_dict.ConfigDict()
  config.ema.decay = placeholder(float)  # A step; None keeps no average.
  config.ema.warmup = False  # Lower decay in the first steps.

  config.evaluation = config_dict.ConfigDict()
  config.evaluation.every_epochs = 1.0  # None: at the end alone.
  config.evaluation.batch_size = 1024  # Images, over all devices.
  config.evaluation.averaged_weights = True  # If the run keeps averages.

  config.checkpoint = config_dict.ConfigDict()
  config.checkpoint.every_epochs = 1.0  # None: at the end alone.
  config.checkpoint.keep_last = 2
  config.checkpoint.keep_best = 1  # By the task's score, of those evaluated.

  config.mesh = config_dict.ConfigDict()  # Of the devices, in training.
  config.mesh.fsdp = 1  # Devices that share one copy of the state; 1: whole.
  # Of sums over devices, where the model's dtype is narrower; "bfloat16": half
  # the bytes, as the compiler would have it (docs/performance.md).
  config.mesh.gradient_dtype = "float32"

  config.logging = config_dict.ConfigDict()
  config.logging.every_steps = 100  # None: at the end alone.
  config.logging.profile_first_step = 1
  config.logging.profile_steps = 0  # 0 for no profile.

  # Compile options of the training step by XLA's names, such as
  # xla_tpu_enable_latency_hiding_scheduler; --dry_run checks them.
  config.xla_flags = config_dict.ConfigDict()

  # Of several processes: how long they wait for one another.
  config.deadlines = config_dict.ConfigDict()
  config.deadlines.start_up_seconds = 300.0  # Until all processes are there.
  config.deadlines.barrier_seconds = 600.0  # At a barrier, for the last one.
  # Without a sign of life a phase hangs: all stacks are logged, and the process
  # ends with status 75. Ten times the fastest step is always allowed.
  config.deadlines.compile_seconds = 3600.0  # Of a program, or a first step.
  config.deadlines.restore_seconds = 1800.0  # A checkpoint's, retries and all.
  config.deadlines.step_seconds = 600.0  # From the last finished step.
  config.deadlines.save_seconds = 1800.0  # Of a checkpoint, or the bundle.
  config.deadlines.evaluation_seconds = 600.0  # From the last finished batch.
  return config
