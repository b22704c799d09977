"""Which stripes of a split a process reads, and what of them it shows.

A split of records is cut into up to 64 equal stripes, a number that depends on
the batch size alone. Every batch takes an equal part, a block, of each stripe,
one stripe after another, and a process shows its own part of every batch: the
batches are the same for any number of processes, and no example is shown by
two of them.

A process reads the stripes that its part touches. One that is shared, because
there are more processes than stripes or because they divide unevenly, is read
by each of its processes, which drop undecoded what the others show. Of P
processes each reads P / 64 times what it shows when P is above 64: of 256 with
16 images of 110 kB each a step, 7 MB.
"""

from __future__ import annotations

from typing import Any

from van_jax.data.sources.split import Share

MOST = 64


def count(batch_size: int) -> int:
  """Returns the number of stripes: the largest divisor up to 64."""
  return max(n for n in range(1, MOST + 1) if batch_size % n == 0)


def places(share: Share) -> range:
  """Returns which blocks of a batch a process has a part of."""
  block = share.batch_size // count(share.batch_size)
  start = share.process_index * share.examples_per_step
  return range(start // block, -(-(start + share.examples_per_step) // block))


def take_part(read: Any, share: Share) -> Any:
  """Returns what a process shows of the blocks that it reads.

  Args:
    read: tf.data.Dataset of all examples in its `places`, step after step.
    share: of the process.
  """
  block = share.batch_size // count(share.batch_size)
  a_step = len(places(share)) * block
  if a_step == share.examples_per_step:
    return read
  first = share.process_index * share.examples_per_step % block

  def is_shown(number, _):
    place = number % a_step
    return (place >= first) & (place < first + share.examples_per_step)

  return read.enumerate().filter(is_shown).map(lambda _, example: example)
