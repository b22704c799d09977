"""Out of memory, as one line that says what helps at this config."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from van_jax import errors
from van_jax.experiment import section_table
from van_jax.experiment.sections import Config

_SCALES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = r"([\d.]+) ?([KMGT]?)i?B?"  # 20.5G as of TPUs, 3.05GiB, 123 bytes.
# A TPU's compiler, which counts all that a program needs.
_USED_OF = re.compile(rf"Used {_SIZE} of {_SIZE}")
# What was one allocation too many, of XLA's and of NumPy's.
_ALLOCATION = re.compile(rf"(?:allocat\w+|allocate) {_SIZE}", re.IGNORECASE)
_SAFE = 0.9  # Of the memory that is there: it comes in pieces.


class Need(NamedTuple):
  """Bytes, on one device.

  Attributes:
    total: that the program needs at once.
    fixed: the part of it that does not grow with the batch.
    limit: that there are.
  """

  total: float
  fixed: float
  limit: float


@contextlib.contextmanager
def in_training(
  config: Config, memory: Callable[[], Any] = lambda: None
) -> Iterator[None]:
  """Turns running out of memory into a UserError about the training step.

  Args:
    config: of the run.
    memory: returns XLA's `CompiledMemoryStats` of the step, or None.
  """
  with _explained(lambda error: _training(config, str(error), memory())):
    yield


@contextlib.contextmanager
def in_evaluation(config: Config) -> Iterator[None]:
  """Turns running out of memory into a UserError about evaluation."""
  with _explained(lambda error: _evaluation(config, str(error))):
    yield


@contextlib.contextmanager
def _explained(message: Callable[[Exception], str]) -> Iterator[None]:
  try:
    yield
  except (jax.errors.JaxRuntimeError, MemoryError) as error:
    on_device = not isinstance(error, MemoryError)
    if on_device and "RESOURCE_EXHAUSTED" not in str(error):
      raise
    raise errors.UserError(message(error)) from error


def _training(config: Config, text: str, memory: Any) -> str:
  """Returns the line, about a training step."""
  devices, micro = jax.device_count(), config.accumulation_steps
  images = config.batch_size // micro // devices
  fits = _images_that_fit(images, _need(text, memory))
  ways = []
  if cut := _more_micro_batches(config, devices, fits):
    ways.append(
      f"--config.accumulation_steps={cut} (the same batch, "
      f"{config.batch_size // cut // devices} images a device at once)"
    )
  if not config.model.remat:
    ways.append("--config.model.remat=True (slower, the same result)")
  if config.model.dtype == "float32":
    ways.append("--config.model.dtype=bfloat16 (half the maps' memory)")
  if fits < images and micro == 1 and fits:
    ways.append(
      f"--config.batch_size={fits * devices}, which would about fit (with "
      "schedule.learning_rate in proportion)"
    )
  if devices == 1:
    ways.append("more devices")
  size = config.augmentation.image_size
  ways.append(f"a smaller config.augmentation.image_size than {size}")
  return (
    f"out of memory at batch_size={config.batch_size}: {images} images at once "
    f"on each of {devices} devices{_amount(text)}. What helps: "
    f"{'; '.join(ways)}."
  )


def _evaluation(config: Config, text: str) -> str:
  """Returns the line, about an evaluation."""
  devices, batch_size = jax.device_count(), config.evaluation.batch_size
  images = batch_size // devices
  fits = max(_images_that_fit(images, _need(text, None)), 1)
  key = "scale" if section_table.has_masks(config) else "image_size"
  ways = [f"a smaller config.preprocessing.{key}"]
  if images > 1:
    ways.insert(
      0,
      f"--config.evaluation.batch_size={fits * devices} (the same scores)",
    )
  if config.model.dtype == "float32":
    ways.append("--config.model.dtype=bfloat16")
  return (
    f"out of memory in evaluation at evaluation.batch_size={batch_size}: "
    f"{images} images at once on each of {devices} devices{_amount(text)}. "
    f"What helps: {'; '.join(ways)}."
  )


def _images_that_fit(images: int, need: Need | None) -> int:
  """Returns about how many images a device has room for; half if unknown."""
  if need is None or need.total <= need.limit:
    return images // 2
  growing, room = need.total - need.fixed, _SAFE * need.limit - need.fixed
  return min(max(int(images * room / growing), 0), images - 1)


def _more_micro_batches(config: Config, devices: int, fits: int) -> int | None:
  """Returns the fewest micro-batches of so many images that may be."""
  group = config.model.batch_norm_group_size or 1
  for count in range(config.accumulation_steps + 1, config.batch_size + 1):
    micro, rest = divmod(config.batch_size, count)
    even = not (rest or micro % devices or micro % group)
    if even and micro // devices <= max(fits, 1):
      return count
  return None


def _need(text: str, memory: Any) -> Need | None:
  """Returns what was needed, as the message or the program says it."""
  if found := _USED_OF.search(text):
    total, limit = _bytes(*found.groups()[:2]), _bytes(*found.groups()[2:])
    return Need(total, 0, limit)
  if memory is None or not (limit := _device_limit()):
    return None
  fixed = memory.argument_size_in_bytes
  return Need(fixed + memory.temp_size_in_bytes, fixed, limit)


def _device_limit() -> int:
  """Returns the bytes of a device; 0 where it does not say."""
  device = jax.local_devices()[0]
  if device.platform == "cpu":
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  return (device.memory_stats() or {}).get("bytes_limit", 0)


def _amount(text: str) -> str:
  """Returns what the message says of sizes, as a part of a sentence."""
  if found := _USED_OF.search(text):
    total, limit = _bytes(*found.groups()[:2]), _bytes(*found.groups()[2:])
    return f", which need {_shown(total)} of the {_shown(limit)} there are"
  if found := _ALLOCATION.search(text):
    return f", where {_shown(_bytes(*found.groups()))} more were not to be had"
  return ""


def _bytes(number: str, scale: str) -> float:
  return float(number.rstrip(".")) * _SCALES[scale.upper()]


def _shown(number: float) -> str:
  return f"{number / (1 << 30):.3g} GiB"
