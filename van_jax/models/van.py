"""The Visual Attention Network: four stages of blocks, and a head."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from van_jax import ops
from van_jax.models import block, layers
from van_jax.models.attention import lka

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
    kernel_size: of the attention, before it is taken apart.
    dilation: of the attention.
    gate: "multiply", "add", "sigmoid" or "none".
    lka_convs: any of "depthwise", "dilated", "pointwise"; or ("dense",).
    layer_norm_epsilon: of the four stage norms.
    batch_norm_group_size: examples that share statistics in training; None
      for the whole batch. The official recipe has 128.
    batch_norm_frozen: keep to the running statistics in training.
    folded: for inference only: BatchNorm and layer scales are in the kernels
      of their neighbours; made by `fold_batch_norm`.
    dtype: of the computation; parameters and statistics are float32.
    remat: recompute each block in the backward pass, to save memory.
    conv_implementation: one of `ops.list_implementations()`.
  """

  widths: tuple[int, ...]
  depths: tuple[int, ...]
  ffn_ratios: tuple[int | float, ...]
  num_classes: int = 1000
  drop_path_rate: float = 0.0
  dropout_rate: float = 0.0
  layer_scale_init: float | None = 1e-2
  kernel_size: int = 21
  dilation: int = 3
  gate: str = "multiply"
  lka_convs: tuple[str, ...] = lka.CONVS
  layer_norm_epsilon: float = 1e-6
  batch_norm_group_size: int | None = None
  batch_norm_frozen: bool = False
  folded: bool = False
  dtype: DTypeLike = jnp.float32
  remat: bool = False
  conv_implementation: str = "auto"

  def __post_init__(self):
    _check_fields(self)
    super().__post_init__()

  def setup(self):
    """Makes the stages and the head."""
    # Names are the checkpoint's: patch_embed1, block1_0, norm1, ..., head.
    rates = np.linspace(0, self.drop_path_rate, sum(self.depths)).tolist()
    for s, (width, depth) in enumerate(
      zip(self.widths, self.depths, strict=True), start=1
    ):
      setattr(self, f"patch_embed{s}", self._patch_embed(s, width))
      for j in range(depth):
        setattr(self, f"block{s}_{j}", self._block(s, rates.pop(0)))
      norm = nn.LayerNorm(
        self.layer_norm_epsilon,
        use_fast_variance=False,
        dtype=jnp.promote_types(self.dtype, jnp.float32),
      )
      setattr(self, f"norm{s}", norm)
    if self.num_classes:
      self.head = nn.Dense(
        self.num_classes,
        kernel_init=layers.linear_init,
        dtype=jnp.promote_types(self.dtype, jnp.float32),
      )

  def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
    """Returns logits, [B, num_classes], or pooled features, [B, C].

    They are float32 whatever the dtype of the computation before them.

    Args:
      images: [B, H, W, 3], normalised; H and W at least 32.
      train: use the batch's statistics, drop paths. The default is for
        `init`, to which it makes no difference.

    Raises:
      ValueError: on images that are too small, or not floating [B, H, W, 3].
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
      raise ValueError(
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

  @nn.nowrap
  def _patch_embed(self, s: int, width: int) -> block.PatchEmbed:
    return block.PatchEmbed(
      width,
      kernel_size=7 if s == 1 else 3,
      stride=4 if s == 1 else 2,
      batch_norm_group_size=self.batch_norm_group_size,
      batch_norm_frozen=self.batch_norm_frozen,
      folded=self.folded,
      implementation=self.conv_implementation,
      dtype=self.dtype,
    )

  @nn.nowrap
  def _block(self, s: int, drop_path_rate: float) -> block.Block:
    return block.Block(
      ffn_ratio=self.ffn_ratios[s - 1],
      drop_path_rate=drop_path_rate,
      dropout_rate=self.dropout_rate,
      layer_scale_init=self.layer_scale_init,
      kernel_size=self.kernel_size,
      dilation=self.dilation,
      gate=self.gate,
      lka_convs=self.lka_convs,
      batch_norm_group_size=self.batch_norm_group_size,
      batch_norm_frozen=self.batch_norm_frozen,
      folded=self.folded,
      conv_implementation=self.conv_implementation,
      dtype=self.dtype,
    )


def _check_fields(van: VAN) -> None:
  for name in ("widths", "depths", "ffn_ratios"):
    values = getattr(van, name)
    if len(values) != 4 or min(values) <= 0:
      raise ValueError(
        f"{name}={values} must be four positive numbers, one a stage."
      )
  for name in ("drop_path_rate", "dropout_rate"):
    if not 0 <= getattr(van, name) < 1:
      raise ValueError(
        f"{name}={getattr(van, name)} must be at least 0 and below 1; it is "
        f"the fraction that is dropped."
      )
  for name, low in (("num_classes", 0), ("kernel_size", 1), ("dilation", 1)):
    if getattr(van, name) < low:
      raise ValueError(f"{name}={getattr(van, name)} must be at least {low}.")
  if van.batch_norm_group_size is not None and van.batch_norm_group_size < 1:
    raise ValueError(
      f"batch_norm_group_size={van.batch_norm_group_size} must be at least 1, "
      f"or None for the whole batch."
    )
  _check_choices(van)


def _check_choices(van: VAN) -> None:
  if van.gate not in lka.GATES:
    raise ValueError(
      f"gate={van.gate!r} must be one of {', '.join(lka.GATES)}."
    )
  convs = tuple(van.lka_convs)
  ordered = tuple(conv for conv in lka.CONVS if conv in convs)
  if convs != lka.DENSE and (not convs or convs != ordered):
    raise ValueError(
      f"lka_convs={convs} must be some of {lka.CONVS}, in that order, or "
      f"{lka.DENSE}."
    )
  if van.conv_implementation not in ops.list_implementations():
    raise ValueError(
      f"conv_implementation={van.conv_implementation!r} must be one of "
      f"{', '.join(ops.list_implementations())}."
    )
  if not jnp.issubdtype(jnp.dtype(van.dtype), jnp.floating):
    raise ValueError(
      f"dtype={van.dtype} must be floating, float32 or bfloat16 say."
    )


def _check_images(images: jax.Array) -> None:
  if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
    raise ValueError(
      f"images of shape {images.shape} and dtype {images.dtype} must be "
      f"floating [B, H, W, 3]; normalise them, and add the missing axes."
    )
  if min(images.shape[1:3]) < MIN_IMAGE_SIZE:
    raise ValueError(
      f"images.shape={images.shape}: height and width must be at least "
      f"{MIN_IMAGE_SIZE}, the stride of the last stage; enlarge them."
    )
