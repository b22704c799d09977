"""Files with random damage end well, or in one line: soon, and in bounds."""

import argparse
import io
import pickle
import random
import resource
import time
import zipfile

import numpy as np
import published_files as published
import pytest
import torch

from van_jax import errors
from van_jax.interop.names import state_dicts
from van_jax.interop.readers import tensors, weight_files

FILES = 400  # Of each container.
SECONDS = 5  # For one; a sound one takes a hundredth.
MEGABYTES = 300  # More than before, at the peak of all.

# Operations that combine what is there, which random bytes seldom do.
OPERATIONS = [
  b"2", b"0", b"1", b"(", b"t", b"l", b"d", b"}", b"]", b")", b"\x85", b"\x86",
  b"\x87", b"R", b"\x81", b"\x92", b"b", b"s", b"u", b"a", b"e", b"\x8f",
  b"\x90", b"\x91", b"\x93", b"\x94", b"Q", b"q\x01", b"h\x01", b"h\x02",
  b"h\x05", b"j\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"N", b"K\x07", b".",
  b"\x8a\x08" + b"\x7f" * 8, b"X\xff\xff\xff\x7f", b"B\xff\xff\xff\xff",
  b"cos\nsystem\n", b"cbuiltins\nset\n", b"ccollections\nOrderedDict\n",
  b"cbuiltins\ntuple\n", b"cnumpy\ndtype\n", b"\x82\x01", b"\x97", b"\x98",
]  # fmt: skip


def sound_tree():
  """Returns what files of weights are made of, in little."""
  return {
    "state_dict": published.tensors(
      {
        "model.patch_embed1.proj.weight": np.ones((2, 3, 2, 2), np.float32),
        "model.patch_embed1.norm.running_mean": np.zeros(2, np.float32),
        "model.patch_embed1.norm.num_batches_tracked": np.array(3),
      }
    ),
    "args": argparse.Namespace(lr=0.1, mean=(0.5, 0.5)),
    "rng": np.random.default_rng(0).normal(size=3),
    "epoch": 3,
  }


def torch_zip():
  file = io.BytesIO()
  torch.save(sound_tree(), file)
  return file.getvalue()


def torch_legacy():
  file = io.BytesIO()
  torch.save(sound_tree(), file, _use_new_zipfile_serialization=False)
  return file.getvalue()


def paddle(protocol=4):
  state = {"patch_embed1.norm._mean": np.ones(3, np.float32), "n": {"a": "b"}}
  return pickle.dumps(state, protocol=protocol)


def safetensors_file():
  return published.safetensors.torch.save(
    {"patch_embed1.proj.weight": torch.ones(2, 3), "a": torch.zeros(2)}
  )


def mutated(data, chance):
  """Returns bytes with damage of one kind."""
  data = bytearray(data)
  place = chance.randrange(len(data))
  match chance.randrange(5):
    case 0:
      for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    case 1:
      del data[place:]
    case 2:
      end = min(len(data), place + chance.randint(1, 200))
      data[end:end] = data[place:end] * chance.randint(1, 20)
    case 3:
      data[place:place] = chance.choice(OPERATIONS) * chance.choice((1, 1, 99))
    case _:
      for _ in range(chance.randint(2, 12)):
        place = chance.randrange(len(data))
        data[place : place + 1] = chance.choice(OPERATIONS)
  return bytes(data)


def mutated_zip(data, chance):
  """Returns an archive with damage, half of them with sound check sums."""
  if chance.randrange(2):
    return mutated(data, chance)
  file = io.BytesIO()
  with (
    zipfile.ZipFile(io.BytesIO(data)) as old,
    zipfile.ZipFile(file, "w") as new,
  ):
    for name in old.namelist():
      part = old.read(name)
      if name.endswith("data.pkl"):
        part = mutated(part, chance)
      new.writestr(name, part)
  return file.getvalue()


def read_all(path):
  """Reads a file as a conversion does, but for a whole VAN's arrays."""
  with weight_files.open_weights(path) as contents:
    weights = state_dicts.find(contents.tree)
    for tensor in weights.tensors.values():
      assert isinstance(tensor, tensors.Tensor)
      tensor.read()


@pytest.mark.parametrize(
  "container", [torch_zip, torch_legacy, paddle, safetensors_file]
)
def test_damage_of_any_kind_is_one_line(container, tmp_path):
  chance = random.Random(container.__name__)  # Strings are seeds, the same.
  sound, path = container(), tmp_path / "w"
  change = mutated_zip if container is torch_zip else mutated
  path.write_bytes(sound)
  read_all(path)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  for number in range(FILES):
    path.write_bytes(change(sound, chance))
    start = time.perf_counter()
    try:
      read_all(path)
    except errors.UserError as error:
      shown = str(error).replace(str(path), "")
      assert len(shown) < 1500, number
      assert shown.isprintable(), (number, shown)
    assert time.perf_counter() - start < SECONDS, number
  after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert after - before < MEGABYTES * 1024  # Linux counts in KB.
