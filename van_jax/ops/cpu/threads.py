"""Work shared with the threads of XLA's pool, without waiting for any.

A job is a block of memory: counters, then the numbers that the work reads.
Its items are claimed one by one from a counter. The thread that XLA called
works too, and waits for items that others have begun, never for a thread to
begin: a busy pool slows a job down and cannot stop it. Whoever leaves the job
last frees it, so that a thread may come when all is done.
"""

from llvmlite import ir
from numba import types

from van_jax.ops.cpu import call_frame, machine
from van_jax.ops.cpu.compiled import compiled
from van_jax.ops.cpu.machine import I64, constant, emit_load, intrinsic

# Offsets in bytes; counters that several threads write have a line each.
_NEXT, _DONE, _PRESENT, _ITEMS = 0, 64, 128, 192
_FIELDS = 256


@compiled
def new_job(items, numbers, more):
  """Returns the address of a job of so many items, with two tuples' numbers."""
  job = machine.malloc(_FIELDS + 8 * (len(numbers) + len(more)))
  machine.store_int64(job + _NEXT, 0)
  machine.store_int64(job + _DONE, 0)
  machine.store_int64(job + _PRESENT, 1)
  machine.store_int64(job + _ITEMS, items)
  to = job + _FIELDS
  for value in numbers:
    machine.store_int64(to, value)
    to += 8
  for value in more:
    machine.store_int64(to, value)
    to += 8
  return job


@intrinsic
def fields(typing, job, first, kind):
  """Returns a namedtuple of the job's numbers, from the first on."""
  names = kind.instance_class._fields
  result = types.NamedUniTuple(types.int64, len(names), kind.instance_class)

  def emit(context, builder, signature, arguments):
    job, first, _ = arguments
    start = builder.add(job, builder.mul(first, constant(8)))
    numbers = [
      emit_load(builder, builder.add(start, constant(_FIELDS + 8 * n)), I64, 8)
      for n in range(len(names))
    ]
    return context.make_tuple(builder, result, numbers)

  return result(types.int64, types.int64, kind), emit


@compiled
def claim(job):
  """Returns an item that nobody has, or -1."""
  item = machine.atomic_add(job + _NEXT, 1)
  return item if item < machine.load_int64(job + _ITEMS) else -1


@compiled
def finish(job):
  """Counts an item as done."""
  machine.atomic_add(job + _DONE, 1)


@compiled
def leave(job):
  """Lets go of the job; the last one frees it."""
  if machine.atomic_add(job + _PRESENT, -1) == 1:
    machine.free(job)


@compiled
def share(frame, job, task, helpers):
  """Asks so many threads to run the C function at `task` on the job."""
  for _ in range(helpers):
    machine.atomic_add(job + _PRESENT, 1)
    if not call_frame.schedule(frame, task, job):
      machine.atomic_add(job + _PRESENT, -1)
      return


@compiled
def wait(job):
  """Returns when all items are done, each having been claimed."""
  items = machine.load_int64(job + _ITEMS)
  while machine.atomic_add(job + _DONE, 0) < items:
    pass


def address_of_task(work):
  """Returns an intrinsic: the address of a C function, work(job); leave(job).

  Args:
    work: compiled by Numba, takes a job and claims items until none is left.
  """
  signature = types.void(types.int64)

  @compiled
  def task(job):
    work(job)
    leave(job)

  @intrinsic
  def address(typing):
    def emit(context, builder, _, arguments):
      task.compile(signature.args)
      compiled = task.overloads[signature.args]
      context.active_code_library.add_linking_library(compiled.library)
      function = ir.Function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [machine.I64]),
        name=f"task_{work.py_func.__name__}",
      )
      function.linkage = "internal"
      inside = ir.IRBuilder(function.append_basic_block())
      context.call_internal_no_propagate(
        inside, compiled.fndesc, signature, function.args
      )
      inside.ret_void()
      return builder.ptrtoint(function, machine.I64)

    return types.int64(), emit

  return address
