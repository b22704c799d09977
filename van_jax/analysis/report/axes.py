"""An axis of a chart: where a value lies, and which values are marked."""

import dataclasses
import math
from collections.abc import Iterable

_WIDE = 10.0  # A logarithmic axis helps where values span as much.
_FINE_DECADES = 2.3  # Up to it 2 and 5 of each decade are marked as well.
_HUGE = 1e200  # Beyond it sums overflow; a damaged file may have any number.
_MARGIN = 0.04  # Of a linear axis' length, on either side.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
  """A range of values.

  Attributes:
    low: the value at 0.
    high: the value at 1; above `low`.
    log: whether equal ratios are equally long; then `low` is above 0.
  """

  low: float
  high: float
  log: bool = False

  def place(self, value: float) -> float:
    """Returns where a value lies: `low` at 0, `high` at 1."""
    if self.log:
      low = math.log(self.low)
      return (math.log(value) - low) / (math.log(self.high) - low)
    return (value - self.low) / (self.high - self.low)

  def ticks(self) -> list[float]:
    """Returns round values within the range, ascending: two to seven."""
    return _log_ticks(self) if self.log else _linear_ticks(self)


def of_steps(last: int) -> Axis:
  """Returns the axis of a run's steps, from none to the last."""
  return Axis(low=0, high=max(last, 1))


def of_values(values: Iterable[float], *, may_be_log: bool = False) -> Axis:
  """Returns the axis of finite values, with a margin on either side.

  Args:
    values: of all lines.
    may_be_log: whether it is logarithmic where all are above 0 and span a
      factor of ten.
  """
  found = [
    min(max(value, -_HUGE), _HUGE) for value in values if math.isfinite(value)
  ]
  low, high = (min(found), max(found)) if found else (0.0, 1.0)
  if may_be_log and low > 1 / _HUGE:
    span = math.log(high) - math.log(low)
    if span >= math.log(_WIDE):
      margin = math.exp(_MARGIN * span)
      return Axis(low=low / margin, high=high * margin, log=True)
  length = high - low
  if length <= 1e-9 * max(abs(low), abs(high)):  # One value, to rounding.
    length = abs(high) or 1.0
  margin = _MARGIN * length
  return Axis(low=low - margin, high=high + margin)


def label(value: float) -> str:
  """Returns a tick's value in few letters: 0.05, 12k, 1e-06."""
  if value and abs(value) >= 1e6:
    return f"{value / 1e6:.4g}M"
  if abs(value) >= 1e4:
    return f"{value / 1e3:.4g}k"
  return f"{value:.4g}"


def _linear_ticks(axis: Axis) -> list[float]:
  rough = (axis.high - axis.low) / 6
  power = 10.0 ** math.floor(math.log10(rough))
  step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough * 0.999)
  first = math.ceil(axis.low / step - 1e-9)
  last = math.floor(axis.high / step + 1e-9)
  return [round(n * step, 12) for n in range(first, last + 1)]


def _log_ticks(axis: Axis) -> list[float]:
  low, high = math.log10(axis.low), math.log10(axis.high)
  of_each = (1, 2, 5) if high - low <= _FINE_DECADES else (1,)
  every = math.ceil((high - low) / 6)
  powers = range(math.floor(low), math.ceil(high) + 1, every)
  values = [n * 10.0**power for power in powers for n in of_each]
  return [value for value in values if axis.low <= value <= axis.high]
