"""The compiler's refusal for want of memory, the one verdict there is."""

import dataclasses
import re

_SCALES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = r"([\d.]+) ?([KMGT]?)i?B?(?: bytes)?"

# (required, available), as TPU compilers of several years write them.
_OF_BOTH = (
  # Ran out of memory on HBM, the total memory required [for HLO temporaries]
  # (27.56G) exceeds available HBM (15.75G).
  rf"total memory required[^(]*\({_SIZE}\) exceeds available HBM \({_SIZE}\)",
  # Ran out of memory in memory space hbm. Used 49.34G of 32.00G hbm.
  rf"memory space hbm\. +Used {_SIZE} of {_SIZE} hbm",
  # Aborting compilation early because it's unlikely to have enough memory.
  # Requires 3.84T, has 90.96G available.
  rf"Requires {_SIZE}, has {_SIZE} available",
  # TPU TensorCore Hbm usage: 34.82G, SparseCore Hbm usage 174.10G, exceeding
  # available bytes: 95.74G
  rf"TensorCore Hbm usage: {_SIZE},.*exceeding available bytes: {_SIZE}",
  # XLA's for GPUs: it schedules within a limit, and only warns beyond it.
  rf"arguments \({_SIZE}\) exceeds the base limit \({_SIZE}\)",
)
# What running out looks like on GPUs and CPUs, where programs are compiled all
# the same: one allocation too many.
_OF_ONE = (
  rf"(?:Out of memory (?:while trying to allocate|allocating)) {_SIZE}",
  rf"Failed to allocate request for {_SIZE}",
  rf"Unable to allocate {_SIZE}",
  rf"allocat\w+ (?:of )?{_SIZE}",
)


@dataclasses.dataclass(frozen=True)
class Refusal:
  """That a program does not fit the memory of one device.

  Attributes:
    required_bytes: what it needs, or the one allocation that failed; 0 where
      the message does not say.
    available_bytes: what it may take; None where the message does not say.
    message: the compiler's, its first line.
  """

  required_bytes: int
  available_bytes: int | None
  message: str


def refusal(error: BaseException | str) -> Refusal | None:
  """Returns what a compiler's error says of memory; None if of other things.

  That a kernel's own memory (VMEM) overflows is a fault of the kernel and
  none of the batch: no refusal.

  Args:
    error: raised by `lowered.compile()`, by a first run, or its text.
  """
  text = str(error)
  if "RESOURCE_EXHAUSTED" not in text and "emory" not in text:
    return None
  if re.search(r"memory space (?!hbm)\w+", text):
    return None
  first = text.strip().split("\n")[0]
  for pattern in _OF_BOTH:
    if found := re.search(pattern, text, re.DOTALL):
      required, available = _bytes(*found.groups()[:2]), found.groups()[2:]
      return Refusal(required, _bytes(*available), first)
  for pattern in _OF_ONE:
    if found := re.search(pattern, text, re.IGNORECASE):
      return Refusal(_bytes(*found.groups()), None, first)
  return Refusal(0, None, first) if "RESOURCE_EXHAUSTED" in text else None


def _bytes(number: str, scale: str) -> int:
  return round(float(number.rstrip(".")) * _SCALES[scale.upper()])
