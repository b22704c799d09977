"""PyTorch's network as a contestant: its training step and its inference.

channels_last, autocast where the dtype is bfloat16, cuDNN's own search for the
fastest convolution, fused AdamW; TF32 wherever JAX has it by default.
"""

import contextlib
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.gpu import networks

_CUDA = torch.cuda.is_available()
_MODES = {"compiled": None, "max-autotune": "max-autotune"}


class Contestant:
  """Runs one style: eager, compiled or max-autotune."""

  def __init__(self, job: Mapping[str, Any]):
    self.job = job
    self.device = "cuda" if _CUDA else "cpu"
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    network = networks.torch_model(job, drop_path=networks.DROP_PATH)
    layout: Any = torch.channels_last
    self._network: Any = network.to(self.device, memory_format=layout)
    groups: Any = [
      {"params": [p for p in network.parameters() if p.ndim > 1]},
      {
        "params": [p for p in network.parameters() if p.ndim <= 1],
        "weight_decay": 0.0,
      },
    ]
    self._optimizer = torch.optim.AdamW(
      groups, lr=1e-4, weight_decay=0.05, fused=_CUDA
    )
    self._forward: Any = self._network
    if job["style"] in _MODES:
      self._forward = torch.compile(self._network, mode=_MODES[job["style"]])
    self._loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    self.set_batch(job["batch"])

  def set_batch(self, batch: int) -> None:
    """Draws images."""
    self.batch = batch
    images = torch.from_numpy(networks.images(self.job, batch))
    self._images = images.to(self.device).permute(0, 3, 1, 2)  # channels_last.
    classes = self._network.head.out_features
    labels = torch.from_numpy(networks.labels(classes, batch))
    self._labels = labels.long().to(self.device)

  def lower(self, mode: str) -> None:
    """Does nothing: torch.compile has no such half."""

  def compile(self, mode: str) -> dict[str, Any]:
    """Returns the seconds of two runs; the first one compiles."""
    start = time.monotonic()
    # Others use the device meanwhile: cuDNN's search waits until it is quiet.
    torch.backends.cudnn.benchmark = False
    self.run(mode, 2)
    torch.backends.cudnn.benchmark = True
    return {"seconds": time.monotonic() - start}

  def run(self, mode: str, count: int) -> None:
    """Runs so many times, and waits for the last."""
    training = mode == "training"
    if self._network.training != training:
      self._network.train(training)
    for _ in range(count):
      if training:
        self._step()
      else:
        with torch.no_grad(), self._half():
          self._forward(self._images)
    if _CUDA:
      torch.cuda.synchronize()

  def _step(self):
    self._optimizer.zero_grad(set_to_none=True)
    with self._half():
      logits = self._forward(self._images)
    self._loss(logits.float(), self._labels).backward()
    self._optimizer.step()

  def _half(self):
    if self.job["dtype"] == "float32":
      return contextlib.nullcontext()
    return torch.autocast(self.device, torch.bfloat16)

  def finite(self) -> bool:
    """Returns whether the parameters have numbers only."""
    last = list(self._network.parameters())[-4:]
    return all(bool(p.isfinite().all()) for p in last)

  def memory(self) -> dict[str, int]:
    """Returns bytes: the most of tensors, and of what is held for them."""
    if not _CUDA:
      return {}
    return {
      "peak_bytes": torch.cuda.max_memory_allocated(),
      "reserved_bytes": torch.cuda.max_memory_reserved(),
    }

  def rest(self) -> None:
    """Gives back the memory that it does not need between turns."""
    if _CUDA:
      self._optimizer.zero_grad(set_to_none=True)
      torch.cuda.empty_cache()
      torch.cuda.reset_peak_memory_stats()

  def profile(self, mode: str, folder: pathlib.Path, count: int) -> str:
    """Traces so many runs; returns the trace."""
    kinds = torch.profiler.ProfilerActivity
    activity = kinds.CUDA if _CUDA else kinds.CPU
    with torch.profiler.profile(activities=[activity]) as profile:
      self.run(mode, count)
    folder.mkdir(parents=True, exist_ok=True)
    path = str(folder / "torch.trace.json.gz")
    profile.export_chrome_trace(path)
    return path


def is_out_of_memory(error: Exception) -> bool:
  """Returns whether that is what an error says."""
  return isinstance(error, torch.OutOfMemoryError)
