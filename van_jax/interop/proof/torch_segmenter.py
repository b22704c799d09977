"""Segmenters in PyTorch, with mmsegmentation's names: they load its files.

An independent statement of Semantic FPN, UPerNet and their auxiliary head, to
compare the Flax ones with; the two share no code.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from van_jax.interop.proof.torch_van import TorchVAN


class ConvModule(nn.Module):
  """A convolution with bias; or one without, BatchNorm and ReLU."""

  def __init__(self, channels: int, dim: int, kernel_size: int, norm=True):
    super().__init__()
    self.conv = nn.Conv2d(
      channels, dim, kernel_size, padding=kernel_size // 2, bias=not norm
    )
    nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")
    self.bn = nn.BatchNorm2d(dim) if norm else None
    self.activate = nn.ReLU()

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to [B, D, H, W]."""
    x = self.conv(x)
    return x if self.bn is None else self.activate(self.bn(x))


class FPN(nn.Module):
  """The neck of Semantic FPN."""

  def __init__(self, widths: Sequence[int], dim: int = 256):
    super().__init__()
    self.lateral_convs = nn.ModuleList(
      ConvModule(width, dim, 1, norm=False) for width in widths
    )
    self.fpn_convs = nn.ModuleList(
      ConvModule(dim, dim, 3, norm=False) for _ in widths
    )
    for name, parameter in self.named_parameters():
      if name.endswith("bias"):
        nn.init.zeros_(parameter)
      else:
        nn.init.xavier_uniform_(parameter)

  def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Maps [B, Cs, Hs, Ws] of each stage to [B, D, Hs, Ws]."""
    laterals = [
      conv(x) for conv, x in zip(self.lateral_convs, maps, strict=True)
    ]
    for upper in (3, 2, 1):
      size = laterals[upper - 1].shape[2:]
      laterals[upper - 1] = laterals[upper - 1] + functional.interpolate(
        laterals[upper], size, mode="nearest"
      )
    return [conv(x) for conv, x in zip(self.fpn_convs, laterals, strict=True)]


class DecodeHead(nn.Module):
  """What heads end with: dropout of channels, and the classes."""

  def __init__(self, channels: int, num_classes: int, dropout: float):
    super().__init__()
    self.conv_seg = nn.Conv2d(channels, num_classes, 1)
    nn.init.normal_(self.conv_seg.weight, std=0.01)
    for bias in self.conv_seg.parameters():
      if bias.ndim == 1:
        nn.init.zeros_(bias)
    self.dropout = nn.Dropout2d(dropout)

  def classify(self, x: torch.Tensor) -> torch.Tensor:
    """Maps [B, C, H, W] to logits, [B, K, H, W]."""
    return self.conv_seg(self.dropout(x))


class FPNHead(DecodeHead):
  """Semantic FPN's head, on the neck's four maps."""

  def __init__(
    self,
    num_classes: int,
    channels: int = 128,
    dim: int = 256,
    dropout: float = 0.1,
  ):
    super().__init__(channels, num_classes, dropout)
    self.scale_heads = nn.ModuleList([ConvSequence(dim, channels, 1, False)])
    for count in (1, 2, 3):
      self.scale_heads.append(ConvSequence(dim, channels, count, True))

  def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Maps the pyramid's [B, D, Hs, Ws] to logits, [B, K, H1, W1]."""
    size = maps[0].shape[2:]
    outputs = [
      _bilinear(head(x), size)
      for head, x in zip(self.scale_heads, maps, strict=True)
    ]
    return self.classify(sum(outputs[1:], outputs[0]))


class ConvSequence(nn.Sequential):
  """Convolutions, each followed by an enlargement by 2 or by none."""

  def __init__(self, dim: int, channels: int, count: int, enlarge: bool):
    layers = []
    for i in range(count):
      layers.append(ConvModule(dim if i == 0 else channels, channels, 3))
      if enlarge:
        layers.append(
          nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        )
    super().__init__(*layers)


class UPerHead(DecodeHead):
  """UPerNet's head, on the backbone's four maps."""

  def __init__(
    self,
    widths: Sequence[int],
    num_classes: int,
    channels: int = 512,
    pool_scales: Sequence[int] = (1, 2, 3, 6),
    dropout: float = 0.1,
  ):
    super().__init__(channels, num_classes, dropout)
    self.psp_modules = nn.ModuleList(
      nn.Sequential(
        nn.AdaptiveAvgPool2d(scale), ConvModule(widths[3], channels, 1)
      )
      for scale in pool_scales
    )
    self.bottleneck = ConvModule(
      widths[3] + len(pool_scales) * channels, channels, 3
    )
    self.lateral_convs = nn.ModuleList(
      ConvModule(width, channels, 1) for width in widths[:3]
    )
    self.fpn_convs = nn.ModuleList(
      ConvModule(channels, channels, 3) for _ in widths[:3]
    )
    self.fpn_bottleneck = ConvModule(4 * channels, channels, 3)

  def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Maps [B, Cs, Hs, Ws] of each stage to logits, [B, K, H1, W1]."""
    last = maps[3]
    pooled = [_bilinear(m(last), last.shape[2:]) for m in self.psp_modules]
    x = self.bottleneck(torch.cat([last, *pooled], 1))
    outputs = [x]
    for i in (2, 1, 0):
      lateral = self.lateral_convs[i](maps[i])
      x = lateral + _bilinear(x, lateral.shape[2:])
      outputs.insert(0, self.fpn_convs[i](x))
    size = maps[0].shape[2:]
    x = torch.cat([_bilinear(output, size) for output in outputs], 1)
    return self.classify(self.fpn_bottleneck(x))


class FCNHead(DecodeHead):
  """The auxiliary head, on the third map, or another."""

  def __init__(
    self,
    width: int,
    num_classes: int,
    channels: int = 256,
    convs: int = 1,
    dropout: float = 0.1,
    index: int = 2,
  ):
    super().__init__(channels, num_classes, dropout)
    self.index = index
    self.convs = nn.Sequential(
      *(
        ConvModule(width if i == 0 else channels, channels, 3)
        for i in range(convs)
      )
    )

  def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Maps [B, Cs, Hs, Ws] of each stage to logits, [B, K, H3, W3]."""
    return self.classify(self.convs(maps[self.index]))


class TorchSegmenter(nn.Module):
  """A VAN and its heads in PyTorch, NCHW; mmsegmentation's EncoderDecoder.

  Args:
    backbone: with num_classes=0.
    decode_head: on the neck's maps, or the backbone's if there is no neck.
    neck: of Semantic FPN.
    auxiliary_head: on the backbone's maps.
  """

  def __init__(
    self,
    backbone: TorchVAN,
    decode_head: DecodeHead,
    *,
    neck: FPN | None = None,
    auxiliary_head: FCNHead | None = None,
  ):
    super().__init__()
    self.backbone = backbone
    self.neck = neck
    self.decode_head = decode_head
    self.auxiliary_head = auxiliary_head

  def forward(
    self, x: torch.Tensor
  ) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Returns logits, [B, K, H / 4, W / 4], and the auxiliary head's or None.

    Args:
      x: [B, 3, H, W].
    """
    maps = self.backbone.stages(x)
    levels = maps if self.neck is None else self.neck(maps)
    logits = self.decode_head(levels)
    if self.auxiliary_head is None:
      return logits, None
    return logits, self.auxiliary_head(maps)


def semantic_fpn(
  backbone: TorchVAN,
  widths: Sequence[int],
  num_classes: int,
  *,
  channels: int = 128,
  pyramid_channels: int = 256,
  dropout: float = 0.1,
) -> TorchSegmenter:
  """Returns VAN with Semantic FPN; of widths channels a stage."""
  head = FPNHead(num_classes, channels, pyramid_channels, dropout)
  return TorchSegmenter(backbone, head, neck=FPN(widths, pyramid_channels))


def upernet(
  backbone: TorchVAN,
  widths: Sequence[int],
  num_classes: int,
  *,
  channels: int = 512,
  auxiliary_channels: int = 256,
  dropout: float = 0.1,
) -> TorchSegmenter:
  """Returns VAN with UPerNet and its auxiliary head, as published."""
  return TorchSegmenter(
    backbone,
    UPerHead(widths, num_classes, channels, dropout=dropout),
    auxiliary_head=FCNHead(
      widths[2], num_classes, auxiliary_channels, dropout=dropout
    ),
  )


def _bilinear(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
  return functional.interpolate(
    x, tuple(size), mode="bilinear", align_corners=False
  )
