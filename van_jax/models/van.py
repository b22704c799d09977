"""The Visual Attention Network: four stages of blocks, and a head."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from van_jax import errors, ops
from van_jax.models import layers
from van_jax.models.attention import table
from van_jax.models.batch_norm import BatchNorm
from van_jax.models.block import Block
from van_jax.models.patch_embed import PatchEmbed

MIN_IMAGE_SIZE = 32  # The stride of the last stage.


class VAN(nn.Module):
  """Visual Attention Network, arXiv:2202.09741.

  Attributes:
    widths: channels of each of the four stages.
    depths: blocks of each stage.
    ffn_ratios: hidden channels over channels of each stage's feed-forwards.
    num_classes: outputs of the head; 0 for none, and pooled features instead.
    drop_path_rate: of the last block; the first has 0, the rest between.
    dropout_rate: inside the feed-forwards.
    layer_scale_init: initial scale of each residual; None for no scales.
    attention: a name of `ATTENTIONS`, an import path MODULE:CLASS, or a flax
      module class; or a mapping with that as "name" and fields of the module.
      It is kept as a mapping of name and all fields.
    layer_norm_epsilon: of the four stage norms.
    batch_norm_group_size: examples that share statistics in training; None
      for the whole batch. The official recipe has 128.
    batch_norm_frozen: keep to the running statistics in training.
    folded: for inference only: BatchNorm and layer scales are in the kernels
      of their neighbours; made by `fold_batch_norm`.
    dtype: of the computation; parameters and statistics are float32.
    remat: recompute each block in the backward pass, to save memory.
    implementation: of the operations: "auto" for the fastest on each
      platform, "xla" for plain XLA, or another one of
      `ops.list_implementations()`.
  """

  widths: tuple[int, ...]
  depths: tuple[int, ...]
  ffn_ratios: tuple[int | float, ...]
  num_classes: int = 1000
  drop_path_rate: float = 0.0
  dropout_rate: float = 0.0
  layer_scale_init: float | None = 1e-2
  attention: Any = "lka"
  layer_norm_epsilon: float = 1e-6
  batch_norm_group_size: int | None = None
  batch_norm_frozen: bool = False
  folded: bool = False
  dtype: DTypeLike = jnp.float32
  remat: bool = False
  implementation: str = "auto"

  def __post_init__(self):
    _check_fields(self)
    self.attention = table.described(self.attention)
    super().__post_init__()

  def setup(self):
    """Makes the stages and the head."""
    wide = jnp.promote_types(self.dtype, jnp.float32)
    norm = functools.partial(
      BatchNorm,
      self.batch_norm_group_size,
      self.batch_norm_frozen,
      dtype=self.dtype,
    )
    run: dict[str, Any] = {
      "norm": None if self.folded else norm,
      "implementation": self.implementation,
      "dtype": self.dtype,
    }
    make_block = functools.partial(
      Block,
      attention=self.attention,
      dropout_rate=self.dropout_rate,
      layer_scale_init=self.layer_scale_init,
      **run,
    )
    # Names are the checkpoint's: patch_embed1, block1_0, norm1, ..., head.
    rates = np.linspace(0, self.drop_path_rate, sum(self.depths)).tolist()
    for s, (width, depth, ratio) in enumerate(
      zip(self.widths, self.depths, self.ffn_ratios, strict=True), start=1
    ):
      kernel_size, stride = (7, 4) if s == 1 else (3, 2)
      embed = PatchEmbed(width, kernel_size, stride, **run)
      setattr(self, f"patch_embed{s}", embed)
      for j in range(depth):
        setattr(self, f"block{s}_{j}", make_block(ratio, rates.pop(0)))
      stage_norm = nn.LayerNorm(
        self.layer_norm_epsilon, use_fast_variance=False, dtype=wide
      )
      setattr(self, f"norm{s}", stage_norm)
    if self.num_classes:
      self.head = nn.Dense(
        self.num_classes,
        kernel_init=layers.linear_init,
        dtype=wide,
      )

  def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
    """Returns logits, [B, num_classes], or pooled features, [B, C].

    They are float32 whatever the dtype of the computation before them.

    Args:
      images: [B, H, W, 3], normalised; H and W at least 32.
      train: use the batch's statistics, drop paths. The default is for
        `init`, to which it makes no difference.

    Raises:
      UserError: on images that are too small, or not floating [B, H, W, 3].
    """
    last = self.features(images, train=train)[-1]
    wide = jnp.promote_types(self.dtype, jnp.float32)
    pooled = jnp.mean(last, (1, 2), dtype=wide)
    return self.head(pooled) if self.num_classes else pooled

  def features(
    self, images: jax.Array, *, train: bool = False
  ) -> tuple[jax.Array, ...]:
    """Returns each stage's normed map; strides 4, 8, 16 and 32.

    Args:
      images: [B, H, W, 3], normalised; H and W at least 32.
      train: use the batch's statistics, drop paths.
    """
    _check_images(images)
    if self.folded and train:
      raise errors.UserError(
        "train=True with folded=True: a folded network has no BatchNorm left; "
        "train the one that it was made from."
      )

    def run(layer, x):
      return layer(x, train=train)

    if self.remat:
      run = nn.remat(run)
    x = images.astype(self.dtype)
    maps = []
    for s, depth in enumerate(self.depths, start=1):
      x = getattr(self, f"patch_embed{s}")(x, train=train)
      for j in range(depth):
        x = run(getattr(self, f"block{s}_{j}"), x)
      x = getattr(self, f"norm{s}")(x).astype(self.dtype)
      maps.append(x)
    return tuple(maps)


def _check_fields(van: VAN) -> None:
  for name in ("widths", "depths", "ffn_ratios"):
    values = getattr(van, name)
    if len(values) != 4 or min(values) <= 0:
      raise errors.UserError(
        f"{name}={values} must be four positive numbers, one a stage."
      )
    if name != "ffn_ratios" and any(int(value) != value for value in values):
      raise errors.UserError(f"{name}={values} must be whole numbers.")
  for name in ("drop_path_rate", "dropout_rate"):
    if not 0 <= getattr(van, name) < 1:
      raise errors.UserError(
        f"{name}={getattr(van, name)} must be at least 0 and below 1; it is "
        f"the fraction that is dropped."
      )
  if van.num_classes < 0:
    raise errors.UserError(f"num_classes={van.num_classes} must be at least 0.")
  if van.batch_norm_group_size is not None and van.batch_norm_group_size < 1:
    raise errors.UserError(
      f"batch_norm_group_size={van.batch_norm_group_size} must be at least 1, "
      f"or None for the whole batch."
    )
  _check_choices(van)


def _check_choices(van: VAN) -> None:
  if van.implementation not in ops.list_implementations():
    raise errors.UserError(
      f"implementation={van.implementation!r} must be one of "
      f"{', '.join(ops.list_implementations())}."
    )
  if not jnp.issubdtype(jnp.dtype(van.dtype), jnp.floating):
    raise errors.UserError(
      f"dtype={van.dtype} must be floating, float32 or bfloat16 say."
    )


def _check_images(images: jax.Array) -> None:
  if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
    raise errors.UserError(
      f"images of shape {images.shape} and dtype {images.dtype} must be "
      f"floating [B, H, W, 3]; normalise them, and add the missing axes."
    )
  _check_channels(images.shape)
  if min(images.shape[1:3]) < MIN_IMAGE_SIZE:
    raise errors.UserError(
      f"images.shape={images.shape}: height and width must be at least "
      f"{MIN_IMAGE_SIZE}, the stride of the last stage; enlarge them."
    )


def _check_channels(shape: tuple[int, ...]) -> None:
  _, height, _, channels = shape
  if channels == 3:
    return
  remedy = "give r, g and b"
  if height == 3:
    remedy = "turn [B, 3, H, W] round with images.transpose(0, 2, 3, 1)"
  elif channels == 1:
    remedy = "make three of a grey one with images.repeat(3, axis=3)"
  raise errors.UserError(
    f"images.shape={shape} has {channels} channels in its last axis, and must "
    f"be [B, H, W, 3]; {remedy}."
  )
