"""VAN in PyTorch, with the official names: it loads official weights as is.

An independent statement of the architecture, to compare the Flax model with;
the two share no code.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class LKA(nn.Module):
  """Large kernel attention: a gate from three convolutions."""

  def __init__(self, dim: int, kernel_size: int = 21, dilation: int = 3):
    super().__init__()
    small = 2 * dilation - 1
    large = math.ceil(kernel_size / dilation)
    self.conv0 = _same_conv(dim, dim, small, groups=dim)
    self.conv_spatial = _same_conv(
      dim, dim, large, groups=dim, dilation=dilation
    )
    self.conv1 = nn.Conv2d(dim, dim, 1)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to [B, C, H, W]."""
    return x * self.conv1(self.conv_spatial(self.conv0(x)))


class LSKA(nn.Module):
  """Large separable kernel attention: along rows, then along columns."""

  def __init__(self, dim: int, kernel_size: int = 23, dilation: int = 3):
    super().__init__()
    small, large = 2 * dilation - 1, kernel_size // dilation
    self.conv0h = _same_conv(dim, dim, (1, small), dim)
    self.conv0v = _same_conv(dim, dim, (small, 1), dim)
    self.conv_spatial_h = _same_conv(dim, dim, (1, large), dim, dilation)
    self.conv_spatial_v = _same_conv(dim, dim, (large, 1), dim, dilation)
    self.conv1 = nn.Conv2d(dim, dim, 1)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to [B, C, H, W]."""
    y = self.conv0v(self.conv0h(x))
    return x * self.conv1(self.conv_spatial_v(self.conv_spatial_h(y)))


class MSCA(nn.Module):
  """Multi-scale convolutional attention: SegNeXt's, with its names."""

  def __init__(self, dim: int, kernel_sizes: Sequence[int] = (7, 11, 21)):
    super().__init__()
    self.branches = len(kernel_sizes)
    self.conv0 = _same_conv(dim, dim, 5, dim)
    for i, size in enumerate(kernel_sizes):
      setattr(self, f"conv{i}_1", _same_conv(dim, dim, (1, size), dim))
      setattr(self, f"conv{i}_2", _same_conv(dim, dim, (size, 1), dim))
    self.conv3 = nn.Conv2d(dim, dim, 1)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to [B, C, H, W]."""
    base = self.conv0(x)
    branches = [
      getattr(self, f"conv{i}_2")(getattr(self, f"conv{i}_1")(base))
      for i in range(self.branches)
    ]
    return x * self.conv3(base + sum(branches))


GATING_UNITS = {"lka": LKA, "lska": LSKA, "msca": MSCA}


class Attention(nn.Module):
  """A gating unit between two 1x1 convolutions, plus its input."""

  def __init__(self, dim: int, attention: Mapping[str, Any]):
    super().__init__()
    fields = dict(attention)
    unit = GATING_UNITS[fields.pop("name")]
    self.proj_1 = nn.Conv2d(dim, dim, 1)
    self.spatial_gating_unit = unit(dim, **fields)
    self.proj_2 = nn.Conv2d(dim, dim, 1)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to [B, C, H, W]."""
    y = functional.gelu(self.proj_1(x))
    return self.proj_2(self.spatial_gating_unit(y)) + x


class DWConv(nn.Module):
  """A depthwise 3x3 convolution, in the wrapper its official name needs."""

  def __init__(self, dim: int):
    super().__init__()
    self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to [B, C, H, W]."""
    return self.dwconv(x)


class Mlp(nn.Module):
  """The feed-forward half of a block."""

  def __init__(self, dim: int, hidden: int, drop: float):
    super().__init__()
    self.fc1 = nn.Conv2d(dim, hidden, 1)
    self.dwconv = DWConv(hidden)
    self.fc2 = nn.Conv2d(hidden, dim, 1)
    self.drop = nn.Dropout(drop)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to [B, C, H, W]."""
    x = self.drop(functional.gelu(self.dwconv(self.fc1(x))))
    return self.drop(self.fc2(x))


class Block(nn.Module):
  """Attention, then feed-forward, each normalised, scaled and added."""

  def __init__(
    self,
    dim: int,
    ratio: float,
    attention: Mapping[str, Any],
    layer_scale_init: float | None,
    drop: float,
    drop_path: float,
  ):
    super().__init__()
    self.norm1 = nn.BatchNorm2d(dim)
    self.attn = Attention(dim, attention)
    self.norm2 = nn.BatchNorm2d(dim)
    self.mlp = Mlp(dim, int(dim * ratio), drop)
    self.drop_path = drop_path
    for name in ("layer_scale_1", "layer_scale_2"):
      scale = None
      if layer_scale_init is not None:
        scale = nn.Parameter(layer_scale_init * torch.ones(dim))
      self.register_parameter(name, scale)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to [B, C, H, W]."""
    x = x + self._residual(self.attn(self.norm1(x)), self.layer_scale_1)
    return x + self._residual(self.mlp(self.norm2(x)), self.layer_scale_2)

  def _residual(self, y, scale):
    if scale is not None:
      y = y * scale[:, None, None]
    if self.training and self.drop_path > 0:
      keep = 1 - self.drop_path
      y = y * y.new_empty(len(y), 1, 1, 1).bernoulli_(keep) / keep
    return y


class PatchEmbed(nn.Module):
  """A strided convolution and a BatchNorm."""

  def __init__(self, channels: int, dim: int, kernel_size: int, stride: int):
    super().__init__()
    self.proj = nn.Conv2d(
      channels, dim, kernel_size, stride, padding=kernel_size // 2
    )
    self.norm = nn.BatchNorm2d(dim)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to [B, D, H / stride, W / stride]."""
    return self.norm(self.proj(x))


class TorchVAN(nn.Module):
  """VAN in PyTorch, NCHW.

  Args:
    widths: channels of each of the four stages.
    depths: blocks of each stage.
    ffn_ratios: hidden channels over channels, a stage.
    num_classes: of the head; 0 for pooled features.
    attention: the name of a gating unit, with its own arguments.
    layer_scale_init: initial scale of residuals; None for no scales.
    layer_norm_epsilon: of the stage norms; 1e-6 officially, 1e-5 in
      mmpretrain.
    drop: dropout rate inside the feed-forwards.
    drop_path: of the last block; the first has 0, the rest between.
  """

  def __init__(
    self,
    widths: Sequence[int],
    depths: Sequence[int],
    ffn_ratios: Sequence[float] = (8, 8, 4, 4),
    *,
    num_classes: int = 1000,
    attention: Mapping[str, Any] = MappingProxyType({"name": "lka"}),
    layer_scale_init: float | None = 1e-2,
    layer_norm_epsilon: float = 1e-6,
    drop: float = 0.0,
    drop_path: float = 0.0,
  ):
    super().__init__()
    rates = torch.linspace(0, drop_path, sum(depths)).tolist()
    channels = (3, *widths)
    for s in range(4):
      embed = PatchEmbed(
        channels[s], widths[s], *((7, 4) if s == 0 else (3, 2))
      )
      blocks = nn.ModuleList(
        Block(
          widths[s],
          ffn_ratios[s],
          attention,
          layer_scale_init,
          drop,
          rates[sum(depths[:s]) + j],
        )
        for j in range(depths[s])
      )
      setattr(self, f"patch_embed{s + 1}", embed)
      setattr(self, f"block{s + 1}", blocks)
      norm = nn.LayerNorm(widths[s], eps=layer_norm_epsilon)
      setattr(self, f"norm{s + 1}", norm)
    self.head = (
      nn.Linear(widths[3], num_classes) if num_classes else nn.Identity()
    )
    self.apply(_initialise)

  def stages(self, x: torch.Tensor) -> list[torch.Tensor]:
    """Returns each stage's normed map, [B, C, H, W], from [B, 3, H, W]."""
    maps = []
    for s in range(1, 5):
      x = getattr(self, f"patch_embed{s}")(x)
      for block in getattr(self, f"block{s}"):
        x = block(x)
      norm = getattr(self, f"norm{s}")
      x = norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
      maps.append(x)
    return maps

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, 3, H, W] to logits, [B, num_classes]."""
    return self.classify(self.stages(x)[-1])

  def classify(self, x: torch.Tensor) -> torch.Tensor:
    """Returns logits, [B, num_classes], of the last stage's [B, C, H, W]."""
    return self.head(x.mean((2, 3)))


class _SameConv2d(nn.Conv2d):
  """A convolution that keeps the map's size; even kernels pad more behind."""

  def forward(self, input: torch.Tensor) -> torch.Tensor:
    total = [
      d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)
    ]
    high, wide = ((t // 2, t - t // 2) for t in total)
    return super().forward(functional.pad(input, (*wide, *high)))


def _same_conv(channels, dim, kernel_size, groups=1, dilation=1):
  return _SameConv2d(
    channels, dim, kernel_size, groups=groups, dilation=dilation
  )


def _initialise(module: nn.Module) -> None:
  if isinstance(module, nn.Conv2d):
    high, wide = module.kernel_size
    fan_out = high * wide * module.out_channels // module.groups
    nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
  elif isinstance(module, nn.Linear):
    nn.init.trunc_normal_(module.weight, std=0.02)
  else:
    return
  if module.bias is not None:
    nn.init.zeros_(module.bias)
