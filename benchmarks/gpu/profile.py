"""A step's kernels by name and by what they are, from a profiler's trace.

Traces are JSON in Chrome's format: JAX's profiler writes them beside its own,
and PyTorch's exports them. Beside JAX's lies the program's text, which says for
what part of the network an operation is there.
"""

import collections
import gzip
import json
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

# The first that a kernel's name matches; names are XLA's, cuDNN's, cuBLAS's,
# Inductor's and PyTorch's own.
GROUPS = (
  (
    "depthwise, our kernels",
    r"pallas|depthwise_correlate|depthwise_kernel_gradient",
  ),
  # Inductor's are named after all that is fused in them.
  ("reductions", r"^triton_(red|per)_"),
  ("elementwise", r"^triton_poi_"),
  ("copies, layouts", r"transpose|copy|memcpy|memset|nchwtonhwc|nhwctonchw"),
  ("norms", r"batch_?norm|bn_[fb]w|layer_?norm"),
  (
    "convolutions",
    r"conv(?!ert)|fprop|dgrad|wgrad|implicit|depthwise|grouped_direct|cudnn",
  ),
  ("matrix products", r"gemm|cublas|cutlass|nvjet|splitk|_mm|\bdot"),
  ("optimizer", r"multi_tensor|adam|foreach"),
  ("reductions", r"reduce|softmax|sum"),
  ("elementwise", r"fusion|elementwise|convert|broadcast|triton"),
)
OTHERS = "others"
# The same for paths of the network.
PARTS = (
  ("optimizer", r"optax|apply_updates|adam|global_norm"),
  ("5x5", r"conv0\b"),
  ("7x7, dilated", r"conv_spatial"),
  ("3x3 and GELU", r"dwconv|depthwise_conv_gelu|mlp/(jit|custom|gelu)"),
  ("1x1", r"proj_1|proj_2|conv1\b|fc1|fc2|pointwise"),
  ("patch embeddings", r"patch_embed\d/proj"),
  ("BatchNorm", r"block\d_\d+/norm|patch_embed\d/norm|BatchNorm"),
  ("stage norms and head", r"norm\d\b|head|loss"),
  ("gates, scales, drop path", r"spatial_gating_unit|DropPath|block\d_\d+"),
)
_OPERATION = re.compile(r'%?([\w.\-]+) = .*?op_name="([^"]*)"')


def summary(path: pathlib.Path, *, runs: int) -> dict[str, Any]:
  """Returns milliseconds a run by group, by part and by kernel.

  Args:
    path: of the trace; `hlo.txt.gz` may stand anywhere above, in the folder
      that the trace was asked for.
    runs: of the program that the trace has.

  Returns:
    groups: name to milliseconds, the longest first; kernels: the 25 longest,
    [name, milliseconds, calls a run, group]; parts: as groups, by the
    network's parts, where the program's text is there; device_ms: all of it.

  Raises:
    ValueError: where the trace has no kernels.
  """
  kernels = list(_kernels(json.loads(gzip.decompress(path.read_bytes()))))
  if not kernels:
    raise ValueError("the trace has no kernels")
  by_name: dict[str, list[float]] = collections.defaultdict(list)
  for name, milliseconds, _ in kernels:
    by_name[name].append(milliseconds)
  groups: dict[str, float] = collections.defaultdict(float)
  rows = []
  for name, times in by_name.items():
    group = kind(name, GROUPS)
    groups[group] += sum(times)
    calls = round(len(times) / runs, 1)
    rows.append([name[:90], round(sum(times) / runs, 4), calls, group])
  rows.sort(key=lambda row: -row[1])
  return {
    "device_ms": round(sum(groups.values()) / runs, 3),
    "groups": _ordered(groups, runs),
    "parts": _ordered(_by_part(kernels, _operations(path)), runs),
    "kernels": rows[:25],
  }


def kind(name: str, table: Iterable[tuple[str, str]]) -> str:
  """Returns the first row's name whose pattern a name has."""
  for row, pattern in table:
    if re.search(pattern, name, re.IGNORECASE):
      return row
  return OTHERS


def _kernels(trace: Mapping[str, Any]) -> Iterable[tuple[str, float, str]]:
  """Yields (name, milliseconds, operation or "") of what a device ran."""
  events = trace["traceEvents"]
  processes, threads = {}, {}
  for event in events:
    if event.get("ph") == "M" and event.get("name") == "process_name":
      processes[event["pid"]] = event["args"]["name"]
    elif event.get("ph") == "M" and event.get("name") == "thread_name":
      threads[event["pid"], event.get("tid")] = str(event["args"]["name"])
  devices = {pid for pid, name in processes.items() if "/device:" in str(name)}
  for event in events:
    if event.get("ph") != "X":
      continue
    arguments = event.get("args", {})
    if event.get("pid") in devices:
      # Lines of steps, modules and operations say the same once more.
      line = threads.get((event["pid"], event.get("tid")), "Stream")
      own = line.startswith("Stream")
    elif devices:
      own = False
    else:  # PyTorch's; a CPU's, of which JAX marks operations alone.
      kernel = event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")
      own = kernel or event.get("cat") == "cpu_op" or "hlo_op" in arguments
    if own:
      operation = str(arguments.get("hlo_op", ""))
      yield event["name"], event.get("dur", 0) / 1e3, operation


def _operations(path: pathlib.Path) -> dict[str, str]:
  """Returns the network's path of each operation in the program's text."""
  for folder in path.parents[:5]:
    text = folder / "hlo.txt.gz"
    if text.exists():
      lines = gzip.decompress(text.read_bytes()).decode().splitlines()
      matches = map(_OPERATION.search, lines)
      found = [(str(m[1]), str(m[2])) for m in matches if m]
      # A kernel inside a CUDA graph has no operation but its own name.
      return dict(found) | {re.sub(r"[.-]", "_", k): v for k, v in found}
  return {}


def _by_part(
  kernels: Iterable[tuple[str, float, str]], operations: Mapping[str, str]
) -> dict[str, float]:
  """Returns milliseconds by part and direction; nothing without the text."""
  parts: dict[str, float] = collections.defaultdict(float)
  if operations:
    for name, milliseconds, operation in kernels:
      place = operations.get(operation) or operations.get(name, "")
      part = kind(place, PARTS)
      back = "transpose(" in place
      parts[f"{part}, backward" if back else part] += milliseconds
  return parts


def _ordered(times: Mapping[str, float], runs: int) -> dict[str, float]:
  longest = sorted(times.items(), key=lambda item: -item[1])
  return {name: round(total / runs, 4) for name, total in longest}
