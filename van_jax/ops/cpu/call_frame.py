"""What Numba-compiled handlers read from XLA's foreign function interface.

XLA hands a handler the address of an `XLA_FFI_CallFrame`, a C struct of
jaxlib's `xla/ffi/api/c_api.h` (version 0.3). The offsets below are those of
its fields on a 64-bit machine. XLA adds fields behind them only; it refuses a
handler, by the version that it states, after a change that breaks this.
"""

from numba import types

from van_jax.ops.cpu import machine
from van_jax.ops.cpu.compiled import compiled

_MAJOR, _MINOR = 0, 3
_METADATA = 1  # XLA_FFI_Extension_Metadata.

# Offsets in bytes.
_FRAME_EXTENSION, _FRAME_API, _FRAME_CONTEXT = 8, 16, 24
_FRAME_ARGUMENTS, _FRAME_RESULTS, _FRAME_ATTRIBUTES = 72, 112, 160
_EXTENSION_TYPE, _EXTENSION_METADATA = 8, 24
_METADATA_MAJOR, _METADATA_MINOR, _METADATA_TRAITS = 24, 28, 32
_BUFFER_DATA, _BUFFER_DIMS = 24, 40
_SCALAR_VALUE = 8
_API_DESTROY_ERROR, _API_SCHEDULE, _API_THREADS = 64, 136, 144
_BLOCK_BYTES = 64  # Of the arguments of the functions above.


@compiled
def answered_metadata(frame):
  """Answers XLA's question for the handler's version, if this call is one."""
  extension = machine.load_int64(frame + _FRAME_EXTENSION)
  if extension == 0:
    return False
  if machine.load_int32(extension + _EXTENSION_TYPE) != _METADATA:
    return False
  metadata = machine.load_int64(extension + _EXTENSION_METADATA)
  machine.store_int32(metadata + _METADATA_MAJOR, types.int32(_MAJOR))
  machine.store_int32(metadata + _METADATA_MINOR, types.int32(_MINOR))
  machine.store_int32(metadata + _METADATA_TRAITS, types.int32(0))
  return True


@compiled
def _argument(frame, index):
  buffers = machine.load_int64(frame + _FRAME_ARGUMENTS)
  return machine.load_int64(buffers + 8 * index)


@compiled
def argument(frame, index):
  """Returns the address of an argument's numbers."""
  return machine.load_int64(_argument(frame, index) + _BUFFER_DATA)


@compiled
def size(frame, index, axis):
  """Returns the length of an axis of an argument."""
  dims = machine.load_int64(_argument(frame, index) + _BUFFER_DIMS)
  return machine.load_int64(dims + 8 * axis)


@compiled
def result(frame, index):
  """Returns the address of a result's numbers."""
  buffers = machine.load_int64(frame + _FRAME_RESULTS)
  buffer = machine.load_int64(buffers + 8 * index)
  return machine.load_int64(buffer + _BUFFER_DATA)


@compiled
def attribute(frame, index):
  """Returns an int64 attribute; they are sorted by name."""
  attributes = machine.load_int64(frame + _FRAME_ATTRIBUTES)
  scalar = machine.load_int64(attributes + 8 * index)
  return machine.load_int64(machine.load_int64(scalar + _SCALAR_VALUE))


@compiled
def _block(frame, size):
  """Returns a new block of arguments for a function of XLA's."""
  block = machine.malloc(_BLOCK_BYTES)
  machine.store_int64(block, size)
  machine.store_int64(block + 8, 0)
  machine.store_int64(block + 16, machine.load_int64(frame + _FRAME_CONTEXT))
  return block


@compiled
def _succeeded(frame, function, block):
  """Calls a function of XLA's, lets go of its error, frees its arguments."""
  api = machine.load_int64(frame + _FRAME_API)
  error = machine.call_address(machine.load_int64(api + function), block)
  if error != 0:
    machine.store_int64(block, 24)
    machine.store_int64(block + 16, error)
    machine.call_address(machine.load_int64(api + _API_DESTROY_ERROR), block)
  machine.free(block)
  return error == 0


@compiled
def thread_count(frame):
  """Returns the threads of XLA's pool, at least 1."""
  block, count = _block(frame, 32), machine.malloc(8)
  machine.store_int64(count, 1)
  machine.store_int64(block + 24, count)
  _succeeded(frame, _API_THREADS, block)
  threads = machine.load_int64(count)
  machine.free(count)
  return max(1, threads)


@compiled
def schedule(frame, task, data):
  """Has a thread of XLA's pool call task(data) some time, if it can."""
  block = _block(frame, 40)
  machine.store_int64(block + 24, task)
  machine.store_int64(block + 32, data)
  return _succeeded(frame, _API_SCHEDULE, block)
