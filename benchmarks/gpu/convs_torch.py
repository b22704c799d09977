"""Depthwise convolutions by PyTorch, for `convs`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
  from benchmarks.gpu.convs import Convolution

_CUDA = torch.cuda.is_available()
_DEVICE = "cuda" if _CUDA else "cpu"
_LAYOUTS: dict[str, Any] = {
  "torch channels_last": torch.channels_last,
  "torch contiguous": torch.contiguous_format,
}


def names() -> tuple[str, ...]:
  """Returns the layouts that are measured."""
  return tuple(_LAYOUTS)


def copy(size: int) -> Callable[[int], None]:
  """Returns a function that reads and writes so many bytes."""
  source = torch.ones(size // 4, device=_DEVICE)
  target = torch.empty_like(source)
  return _timed(lambda: target.copy_(source))


def program(name: str, conv: "Convolution") -> Callable[[int], None]:
  """Returns a function that runs one so many times, and waits."""
  made: list[Any] = []

  def run(count):
    if not made:  # On the thread that measures, and one at a time.
      torch.cuda.empty_cache()
      made.append(_program(name, conv))
    made[0](count)

  return run


def _program(name: str, conv: "Convolution") -> Callable[[int], None]:
  torch.backends.cudnn.benchmark = True
  torch.backends.cudnn.allow_tf32 = True
  shape, layout = conv.shape, _LAYOUTS[name]
  dtype = getattr(torch, conv.dtype)
  sizes = (conv.batch, shape.channels, shape.height, shape.height)

  def drawn(*size):
    x = torch.randn(*size, device=_DEVICE, dtype=dtype)
    return x.to(memory_format=layout)

  xs = [drawn(*sizes) for _ in range(conv.copies)]
  gradients = [drawn(*sizes) for _ in xs]
  kernel = drawn(shape.channels, 1, shape.taps, shape.taps)
  bias = torch.ones(shape.channels, device=_DEVICE, dtype=dtype)
  padding = shape.dilation * (shape.taps - 1) // 2
  wanted = [
    conv.direction == "input gradient",
    conv.direction == "kernel gradient",
    conv.direction == "kernel gradient",
  ]

  def one(x, gradient):
    if conv.direction == "forward":
      return torch.nn.functional.conv2d(
        x, kernel, bias, 1, padding, shape.dilation, shape.channels
      )
    return torch.ops.aten.convolution_backward(
      gradient,
      x,
      kernel,
      [shape.channels],
      [1, 1],
      [padding] * 2,
      [shape.dilation] * 2,
      False,
      [0, 0],
      shape.channels,
      wanted,
    )

  @torch.no_grad()
  def all_of():
    for x, gradient in zip(xs, gradients, strict=True):
      one(x, gradient)

  return _timed(_captured(all_of) if _CUDA else all_of)


def _captured(function: Callable[[], None]) -> Callable[[], None]:
  """Returns a function's replay as a CUDA graph."""
  stream = torch.cuda.Stream()
  stream.wait_stream(torch.cuda.current_stream())
  with torch.cuda.stream(stream):
    for _ in range(2):  # cuDNN searches.
      function()
  torch.cuda.current_stream().wait_stream(stream)
  graph = torch.cuda.CUDAGraph()
  with torch.cuda.graph(graph):
    function()
  return graph.replay


def _timed(function: Callable[[], Any]) -> Callable[[int], None]:
  def run(count):
    for _ in range(count):
      function()
    if _CUDA:
      torch.cuda.synchronize()

  return run
