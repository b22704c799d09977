"""TensorFlow as this package uses it: imported late, and on the CPU alone."""

import contextlib
import os
import sys
from typing import Any

from etils import epy

# Before its import: plain kernels, whose results do not hang on the processor
# as oneDNN's do, and no notice about those.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")


def _leave_accelerators_to_jax(module_name: str) -> None:
  """Hides GPUs from TensorFlow, which would else take all their memory."""
  # Not the lazy module below: its every use calls back here, without end.
  config = sys.modules[module_name].config
  # RuntimeError: the program used TensorFlow before us, so it is too late, and
  # it has chosen its devices itself.
  with contextlib.suppress(RuntimeError):
    config.set_visible_devices([], "GPU")


with epy.lazy_imports(success_callback=_leave_accelerators_to_jax):
  import tensorflow

with epy.lazy_imports():
  import tensorflow_datasets

# Everybody in data/ takes these. Any: TensorFlow's stubs lack what we call.
tf: Any = tensorflow
tfds: Any = tensorflow_datasets
