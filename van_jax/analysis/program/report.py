"""The figures of a program as lines to read, and as JSON."""

import dataclasses
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from van_jax.analysis.program.program import Program
from van_jax.analysis.program.refusal import Refusal

_WIDTH = 80
_ESTIMATE = (
  "an estimate by the compiler's schedule, which knows no stalls and no "
  "collectives"
)


def verdict(
  name: str, result: Program | Refusal, available_bytes: int | None = None
) -> str:
  """Returns the line that says whether a program fits, and by how much.

  Args:
    name: of the program, "training step" say.
    result: of its compilation.
    available_bytes: that the compiler lets a program take on one chip; None
      for one that refuses nothing, as those of CPUs and GPUs.
  """
  if isinstance(result, Refusal):
    available = result.available_bytes or available_bytes
    if not result.required_bytes:
      return f"{name}: DOES NOT FIT, by the compiler: {result.message}"
    if not available:
      return (
        f"{name}: DOES NOT FIT, by the compiler: "
        f"{size(result.required_bytes)} were not to be had"
      )
    over = result.required_bytes - available
    return (
      f"{name}: DOES NOT FIT, by the compiler: needs "
      f"{size(result.required_bytes)} of {size(available)} a chip, "
      f"{size(over)} too much"
    )
  if available_bytes is None:
    return f"{name}: compiles; {size(result.memory_bytes)} a device"
  spare = available_bytes - result.memory_bytes
  room = f", {size(spare)} to spare" if spare > 0 else ", hardly any to spare"
  return (
    f"{name}: fits, by the compiler: {size(result.memory_bytes)} of "
    f"{size(available_bytes)} a chip{room}"
  )


def describe(
  result: Program | Refusal,
  *,
  name: str,
  images: int | None = None,
  available_bytes: int | None = None,
  compile_seconds: float | None = None,
  warnings: Sequence[str] = (),
) -> list[str]:
  """Returns the report of one program: its verdict first, then its figures.

  Args:
    result: of its compilation.
    name: of the program, "training step" say.
    images: a run of it takes, on all chips; None leaves images/s out.
    available_bytes: see `verdict`.
    compile_seconds: that compiling took; None leaves it out.
    warnings: lines of `warnings`.
  """
  lines = [verdict(name, result, available_bytes)]
  if isinstance(result, Refusal):
    return lines
  lines += _facts(_memory(result))
  lines += _facts(_speed(result, images, compile_seconds))
  lines += _exchange(result)
  for line in warnings:
    lines += textwrap.wrap(
      line, _WIDTH, initial_indent="  warning: ", subsequent_indent="    "
    )
  return lines


def as_json(result: Program | Refusal) -> dict[str, Any]:
  """Returns all figures as what `json.dumps` takes."""
  report = dataclasses.asdict(result)
  if isinstance(result, Refusal):
    return {"fits": False, **report}
  report["padding"]["wasted"] = result.padding.wasted
  return {"fits": True, **report, "memory_bytes": result.memory_bytes}


def size(number: int | None) -> str:
  """Returns bytes as one reads them; "not reported" for None."""
  if number is None:
    return "not reported"
  for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
    if abs(number) >= scale:
      return f"{number / scale:.2f} {unit}"
  return f"{number} B"


def _memory(program):
  yield "arguments", size(program.argument_bytes)
  yield "temporaries", size(program.temporary_bytes)
  yield "peak", f"{size(program.peak_bytes)} (the compiler's own reckoning)"


def _speed(program, images, compile_seconds):
  if program.flops is not None:
    yield "arithmetic", f"{_flops(program.flops)} a chip and run"
  seconds = program.seconds_by_schedule
  if seconds:
    text = f"{seconds * 1e3:.2f} ms a run"
    if images:
      text = f"{images / seconds:,.0f} images/s, {text}"
    yield "speed", f"{text}: {_ESTIMATE}"
  elif program.schedule_gap:
    yield "speed", f"not known, since {program.schedule_gap}"
  if program.seconds_by_traffic:
    least = program.seconds_by_traffic
    text = f"{size(program.moved_bytes)} a chip and run between kernels and "
    text += f"memory: at full bandwidth {least * 1e3:.2f} ms"
    if images:
      text += f", {images / least:,.0f} images/s at the most"
    text += "; what caches save is not known"
    yield "traffic", text
  if compile_seconds is not None:
    yield "compiled in", f"{compile_seconds:.0f} s"


def _flops(number):
  for unit, scale in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)):
    if number >= scale:
      return f"{number / scale:.2f} {unit}"
  return f"{number:.0f} FLOP"


def _facts(rows):
  for name, text in rows:
    yield from textwrap.wrap(
      text, _WIDTH, initial_indent=f"  {name:<13}", subsequent_indent=" " * 15
    )


def _exchange(program):
  """Yields the table of collectives, and the largest one."""
  if not program.collectives:
    yield "  no collectives: nothing is exchanged between chips"
    return
  table = defaultdict(lambda: [0, 0])
  for row in program.collectives:
    total = table[row.kind, row.axis, row.devices, row.link, row.dtype]
    total[0] += row.count
    total[1] += row.bytes
  yield "  collectives, of one run and chip:"
  head = ("kind", "axis", "chips", "count", "bytes")
  yield "    {:<20}{:<12}{:>6}{:>7}{:>12}  link".format(*head)
  ordered = sorted(table.items(), key=lambda item: -item[1][1])
  for (kind, axis, devices, link, dtype), (count, total) in ordered:
    yield (
      f"    {kind:<20}{axis or '-':<12}{devices or '-':>6}{count:>7}"
      f"{size(total):>12}  {link}  {dtype}"
    )
  count = sum(row.count for row in program.collectives)
  total = sum(row.bytes for row in program.collectives)
  yield f"    {'all':<38}{count:>7}{size(total):>12}"
  largest = program.largest
  yield from textwrap.wrap(
    f"largest: {largest.kind}, {size(largest.bytes)} of {largest.dtype}, "
    f"{largest.link}: {largest.op_name or 'unnamed'}",
    _WIDTH,
    initial_indent="    ",
    subsequent_indent="      ",
  )
