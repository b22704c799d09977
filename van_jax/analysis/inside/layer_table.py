"""Each layer's parameters, multiply-adds, FLOPs, bytes, and time on its own."""

import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from van_jax import errors
from van_jax.analysis.inside import layer_calls
from van_jax.analysis.inside.layer_calls import Call
from van_jax.analysis.multiply_adds import multiply_adds


@dataclasses.dataclass(frozen=True)
class Layer:
  """One module's own part, without that of the modules within it.

  Attributes:
    path: names from the model down, "block1_0/attn/proj_1".
    kind: name of the module's class.
    output_shape: of the call, the batch too.
    params: trainable numbers.
    macs: multiply-adds an image.
    flops: an image, as published for VAN; see `complexity.Complexity`.
    bytes: of own parameters, input and output, at the batch size: what the
      layer reads and writes at the least when it runs alone.
    seconds: of one call on the whole batch; None where it was not measured.
  """

  path: str
  kind: str
  output_shape: tuple[int, ...]
  params: int
  macs: int
  flops: int
  bytes: int
  seconds: float | None = None


def layer_table(
  model: nn.Module,
  variables: Any,
  images: Any,
  *,
  timed: bool = False,
  repeats: int = 5,
) -> list[Layer]:
  """Returns the layers that count for something, in the order they are called.

  Their parameters, macs and flops add up to those of `complexity`. What is in
  no row, GELU, gates, residuals and pooling, has none of the three. An
  attention that multiplies maps by itself, outside of any layer, is a row.

  Time is that of the layer alone: its own program, compiled by jit, on random
  input that lies in the device's memory, the median of `repeats` calls after
  one that compiles; layers of equal fields and shapes are measured once. In the
  model XLA fuses layers with what is around them and keeps results near, so
  the sum is not the model's time; it tells where time goes, and how far a
  layer is from what its bytes and FLOPs explain. Rows of modules with layers
  within (a block, for its layer scales) are not timed.

  Args:
    model: a VAN, or a module that holds one as a field.
    variables: of the model, or their shapes if nothing is timed.
    images: [B, H, W, 3], or their shape likewise.
    timed: whether to measure seconds; that compiles each kind of layer.
    repeats: of each measurement.

  Raises:
    UserError: where time is to be measured of shapes alone, or a module makes a
      VAN by itself whose convolutions are not XLA's: those cannot be counted.
  """
  if repeats < 1:
    raise errors.UserError(f"repeats={repeats} must be at least 1.")
  shapes = (
    isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(variables)
  )
  if timed and any(shapes):
    raise errors.UserError(
      "timed=True runs the layers, and the variables are shapes alone; give "
      "those of a bundle, or of model.init."
    )
  # Of XLA's operations there is one a convolution; of ours there are loops.
  plain = _with_implementation(model, "xla")
  calls = layer_calls.calls(plain, variables, images)
  macs = _inclusive_macs(calls)
  own = _implementation(model)
  rows, seen, measured = [], set(), {}
  for call in calls:
    within = sum(macs[id(inner)] for inner in call.within)
    row = _row(call, macs[id(call)] - within, images.shape[0])
    if call.path in seen:  # Called again: its parameters count once.
      row = dataclasses.replace(row, params=0)
    seen.add(call.path)
    if not (row.params or row.flops):
      continue
    if timed and not call.within:
      seconds = _seconds(call, variables, own, repeats, measured)
      row = dataclasses.replace(row, seconds=seconds)
    rows.append(row)
  return rows


def _row(call: Call, macs: int, batch: int) -> Layer:
  kind = type(call.module).__name__
  arrays = jax.tree.leaves((call.own, call.args, call.result))
  sizes = [x.size * x.dtype.itemsize for x in arrays if hasattr(x, "dtype")]
  return Layer(
    path="/".join(call.path) or kind,
    kind=kind,
    output_shape=getattr(call.result, "shape", ()),
    params=sum(math.prod(x.shape) for x in call.own.values()),
    macs=macs // batch,
    flops=(macs + call.additions) // batch,
    bytes=sum(sizes),
  )


def _inclusive_macs(calls: Sequence[Call]) -> dict[int, int]:
  """Returns the multiply-adds of each call, with those within, by its id."""
  known: dict[Any, int] = {}
  found = {}
  for call in calls:
    key = call.key() or id(call)
    if key not in known:
      run, arrays = call.program()
      known[key] = multiply_adds(jax.make_jaxpr(run)(call.variables, arrays))
    found[id(call)] = known[key]
  return found


def _seconds(
  call: Call,
  variables: Any,
  implementation: str,
  repeats: int,
  measured: dict[Any, float],
) -> float:
  """Returns the median time of a call; that of an equal one if it is known."""
  key = call.key() or id(call)
  if key in measured:
    return measured[key]
  own = dataclasses.replace(
    call, module=_with_implementation(call.module, implementation)
  )
  run, shapes = own.program()
  generator = np.random.default_rng(0)
  arrays = jax.device_put(
    [generator.standard_normal(x.shape).astype(x.dtype) for x in shapes]
  )
  part = {k: _below(v, call.path) for k, v in variables.items()}
  program = jax.jit(run)
  jax.block_until_ready(program(part, arrays))
  taken = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(program(part, arrays))
    taken.append(time.perf_counter() - start)
  measured[key] = statistics.median(taken)
  return measured[key]


def _below(collection: Any, path: Sequence[str]) -> Any:
  for name in path:
    collection = collection.get(name, {})
  return collection


def _with_implementation(module: nn.Module, name: str) -> nn.Module:
  """Returns a module, and those that are its fields, with an implementation."""
  changes = {}
  for field in dataclasses.fields(module):
    value = getattr(module, field.name, None)
    if field.name == "implementation":
      changes[field.name] = name
    elif isinstance(value, nn.Module) and field.name != "parent":
      changes[field.name] = _with_implementation(value, name)
  return module.clone(**changes) if changes else module


def _implementation(module: nn.Module) -> str:
  """Returns the implementation of a module, or of the first within it."""
  for field in dataclasses.fields(module):
    value = getattr(module, field.name, None)
    if field.name == "implementation":
      return value or "auto"
    if isinstance(value, nn.Module) and field.name != "parent":
      return _implementation(value)
  return "auto"
