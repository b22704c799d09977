"""GELU and its derivative of the CPU's vectors, for code that Numba compiles.

P(N <= x) is 1 - exp(-x * x / 2) * poly(1 / (1 + p |x| / sqrt(2))) / 2 for x
>= 0, by Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26:
wrong by 0.8e-7 at most, half of float32's rounding at 1.
"""

import math

from llvmlite import ir
from numba import types

from van_jax.ops.cpu.machine import (
  BYTES,
  I32,
  LANES,
  VECTOR,
  Vector,
  emit_store,
  intrinsic,
)

_INTS = ir.VectorType(I32, LANES)
_FAST = ("contract",)
_P = 0.3275911
_TERMS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
_SIGN, _REST = 0x80000000, 0x7FFFFFFF
_LOG2 = 0.693359375, -2.12194440e-4  # Its sum; the first has few digits.


def _all(value):
  """Returns a vector of one number."""
  return ir.Constant(VECTOR, [float(value)] * LANES)


def _bits(value):
  return ir.Constant(_INTS, [value] * LANES)


def _multiply(builder, a, b):
  return builder.fmul(a, b, flags=_FAST)


def _add(builder, a, b):
  return builder.fadd(a, b, flags=_FAST)


def _polynomial(builder, x, terms):
  """Emits a polynomial; the highest power's coefficient comes first."""
  total = _all(terms[0])
  for term in terms[1:]:
    total = _add(builder, _multiply(builder, total, x), _all(term))
  return total


def _exponential(builder, x):
  """Emits exp(x) for x <= 0, to 2e-7; what is below e**-87 becomes that."""
  x = builder.select(builder.fcmp_ordered("<", x, _all(-87)), _all(-87), x)
  # Adding 1.5 * 2**23 and taking it away again rounds to an integer.
  n = builder.fadd(builder.fmul(x, _all(1 / math.log(2))), _all(12582912))
  n = builder.fsub(n, _all(12582912))
  for part in _LOG2:
    x = _add(builder, x, _multiply(builder, n, _all(-part)))
  value = _polynomial(
    builder, x, [1 / math.factorial(k) for k in range(6, -1, -1)]
  )
  exponent = builder.shl(builder.fptosi(n, _INTS), _bits(23))
  bits = builder.add(builder.bitcast(value, _INTS), exponent)
  return builder.bitcast(bits, VECTOR)


def _normal(builder, x):
  """Emits (P(N <= x), exp(-x * x / 2))."""
  bits = builder.bitcast(x, _INTS)
  size = builder.bitcast(builder.and_(bits, _bits(_REST)), VECTOR)
  scaled = _multiply(builder, size, _all(_P * math.sqrt(0.5)))
  t = builder.fdiv(_all(1), builder.fadd(_all(1), scaled))
  square = _multiply(builder, x, x)
  decay = _exponential(builder, _multiply(builder, square, _all(-0.5)))
  tail = _multiply(builder, _polynomial(builder, t, _TERMS), t)
  tail = _multiply(builder, _multiply(builder, tail, decay), _all(0.5))
  positive = builder.fsub(_all(1), tail)
  below = builder.fcmp_ordered("<", x, _all(0))
  return builder.select(below, tail, positive), decay


@intrinsic
def gelu(typing, x):
  """Returns the GELU of a vector."""

  def emit(context, builder, signature, arguments):
    (x,) = arguments
    return _multiply(builder, x, _normal(builder, x)[0])

  return Vector(Vector), emit


@intrinsic
def gelu_and_store_slope(typing, x, address):
  """Returns the GELU of a vector; stores its derivative at an address."""

  def emit(context, builder, signature, arguments):
    x, address = arguments
    below, decay = _normal(builder, x)
    density = _multiply(builder, decay, _all(1 / math.sqrt(2 * math.pi)))
    slope = _add(builder, below, _multiply(builder, x, density))
    emit_store(builder, slope, address, BYTES)
    return _multiply(builder, x, below)

  return Vector(Vector, types.int64), emit
