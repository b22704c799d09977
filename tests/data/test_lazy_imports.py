"""TensorFlow: imported late, and kept off the accelerators."""

import subprocess
import sys

import plain
import pytest


def _run(code: str) -> str:
  return subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  ).stdout


@pytest.mark.parametrize(
  "code",
  [
    "import van_jax.data",
    # Listing a folder and refusing a configuration need none either.
    "from van_jax import data\n"
    "source = data.open_source(name='folder', directory={folder!r},\n"
    "  train_split='train', eval_split='test')\n"
    "try: data.train_batches(source, batch_size=0, seed=0,\n"
    "  augmentation=data.Augmentation(**{options}))\n"
    "except ValueError: pass",
  ],
)
def test_heavy_libraries_are_not_imported(folder, code):
  code = code.format(folder=str(folder), options=plain.OPTIONS) + (
    "\nimport sys"
    "\nprint({'tensorflow', 'tensorflow_datasets', 'numba'} & set(sys.modules))"
  )
  assert _run(code) == "set()\n"


def test_accelerators_are_hidden_at_the_first_use():
  """Stands in for a GPU with TensorFlow's list of what was made visible."""
  code = (
    "import tensorflow\n"
    "calls = []\n"
    "tensorflow.config.set_visible_devices = lambda *a: calls.append(a)\n"
    "from van_jax.data.tensorflow import tf\n"
    "assert not calls\n"
    "tf.constant(0)\n"
    "print(calls)"
  )
  assert _run(code) == "[([], 'GPU')]\n"
