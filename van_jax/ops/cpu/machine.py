"""What Numba's arrays leave out: addresses, atomics, the CPU's vectors.

Every function here is for code that Numba compiles. An address is an int64, a
vector holds LANES float32 numbers: one register of the CPU.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import extending, types
from numba.extending import models, register_model

intrinsic: Any = extending.intrinsic  # Callers leave out the first argument.

_FEATURES = llvm.get_host_cpu_features()
LANES = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx") else 4
BYTES = 4 * LANES

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(ir.FloatType(), LANES)
_WORDS, _HALVES = ir.VectorType(I32, LANES), ir.VectorType(I16, LANES)
_FAST = ("contract",)  # A product and a sum may become one instruction.


class _Vector(types.Type):
  def __init__(self):
    super().__init__(name=f"vector{LANES}")


Vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
  def __init__(self, manager, kind):
    super().__init__(manager, kind, VECTOR)


def constant(value: int) -> ir.Constant:
  """Returns an int64 of the generated code."""
  return ir.Constant(I64, value)


def emit_load(builder, address, kind: Any = VECTOR, align=4):
  """Emits a load of one value."""
  value = builder.load(builder.inttoptr(address, kind.as_pointer()))
  value.align = align
  return value


def emit_store(builder, value, address, align=4):
  """Emits a store of one value."""
  pointer = builder.inttoptr(address, value.type.as_pointer())
  builder.store(value, pointer).align = align


def emit_add_product(builder, total, a, b):
  """Emits: the variable total += a * b."""
  product = builder.fmul(a, b, flags=_FAST)
  value = builder.fadd(builder.load(total), product, flags=_FAST)
  builder.store(value, total)


def _loader(kind: Any, result: types.Type, align: int) -> Any:
  @intrinsic
  def load(typing, address):
    def emit(context, builder, signature, arguments):
      return emit_load(builder, arguments[0], kind, align)

    return result(types.int64), emit

  return load


def _storer(value: types.Type, align: int) -> Any:
  @intrinsic
  def store(typing, address, number):
    def emit(context, builder, signature, arguments):
      emit_store(builder, arguments[1], arguments[0], align)
      return context.get_dummy_value()

    return types.void(types.int64, value), emit

  return store


@intrinsic
def stream_vector(typing, address, vector):
  """Stores a vector past the cache, at a multiple of BYTES.

  Others see it after the next atomic operation.
  """

  def emit(context, builder, signature, arguments):
    address, vector = arguments
    pointer = builder.inttoptr(address, VECTOR.as_pointer())
    store = builder.store(vector, pointer)
    store.align = BYTES
    yes = builder.module.add_metadata([ir.Constant(I32, 1)])
    store.set_metadata("nontemporal", yes)
    return context.get_dummy_value()

  return types.void(types.int64, Vector), emit


load_int64 = _loader(I64, types.int64, 8)
load_int32 = _loader(I32, types.int32, 4)
load_int16 = _loader(I16, types.int16, 2)
load_vector = _loader(VECTOR, Vector, 4)
store_int64 = _storer(types.int64, 8)
store_int32 = _storer(types.int32, 4)
store_int16 = _storer(types.int16, 2)
store_vector = _storer(Vector, 4)


def _words(value: int) -> ir.Constant:
  return ir.Constant(_WORDS, [value] * LANES)


@intrinsic
def load_bfloat16(typing, address):
  """Returns a vector from as many bfloat16 numbers."""

  def emit(context, builder, signature, arguments):
    halves = emit_load(builder, arguments[0], _HALVES, 2)
    words = builder.shl(builder.zext(halves, _WORDS), _words(16))
    return builder.bitcast(words, VECTOR)

  return Vector(types.int64), emit


@intrinsic
def store_bfloat16(typing, address, vector):
  """Stores a vector as bfloat16 numbers, rounded to nearest even."""

  def emit(context, builder, signature, arguments):
    address, vector = arguments
    words = builder.bitcast(vector, _WORDS)
    odd = builder.and_(builder.lshr(words, _words(16)), _words(1))
    rounded = builder.add(words, builder.add(odd, _words(0x7FFF)))
    # Rounding up could carry a NaN's bits into infinity's.
    is_nan = builder.fcmp_unordered("uno", vector, vector)
    rounded = builder.select(is_nan, _words(0x7FC00000), rounded)
    halves = builder.trunc(builder.lshr(rounded, _words(16)), _HALVES)
    emit_store(builder, halves, address, 2)
    return context.get_dummy_value()

  return types.void(types.int64, Vector), emit


@intrinsic
def zeros(typing):
  """Returns a vector of zeros."""

  def emit(context, builder, signature, arguments):
    return ir.Constant(VECTOR, None)

  return Vector(), emit


@intrinsic
def add(typing, a, b):
  """Returns the sum of two vectors."""

  def emit(context, builder, signature, arguments):
    return builder.fadd(*arguments)

  return Vector(Vector, Vector), emit


@intrinsic
def multiply(typing, a, b):
  """Returns the product of two vectors."""

  def emit(context, builder, signature, arguments):
    return builder.fmul(*arguments)

  return Vector(Vector, Vector), emit


@intrinsic
def atomic_add(typing, address, amount):
  """Adds to the int64 at an address; returns what was there."""

  def emit(context, builder, signature, arguments):
    pointer = builder.inttoptr(arguments[0], I64.as_pointer())
    return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

  return types.int64(types.int64, types.int64), emit


@intrinsic
def call_address(typing, function, argument):
  """Calls the C function at an address; pointer in, pointer out."""

  def emit(context, builder, signature, arguments):
    kind = ir.FunctionType(I64, [I64]).as_pointer()
    return builder.call(builder.inttoptr(arguments[0], kind), [arguments[1]])

  return types.int64(types.int64, types.int64), emit


malloc = types.ExternalFunction("malloc", types.int64(types.int64))
free = types.ExternalFunction("free", types.void(types.int64))
