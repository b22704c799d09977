"""What a run has written for TensorBoard."""

import collections
import importlib
from typing import Any

from van_jax.data.tensorflow import tf


def read(workdir, prefix):
  """Returns the set of values, as bytes, of each (name, step)."""
  # Imported by name, since type checkers do not see what protobuf makes.
  event_pb2: Any = importlib.import_module("tensorboard.compat.proto.event_pb2")

  found = collections.defaultdict(set)
  for path in workdir.glob("events.out.tfevents.*"):
    for record in tf.data.TFRecordDataset(str(path)):
      event = event_pb2.Event.FromString(record.numpy())
      for value in event.summary.value:
        if value.tag.startswith(prefix):
          array = tf.make_ndarray(value.tensor)
          found[value.tag, event.step].add(array.tobytes())
  return dict(found)
