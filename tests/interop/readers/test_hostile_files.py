"""Files from strangers: no code is run, and damage is told from danger."""

import argparse
import collections
import io
import os
import pickle
import re
import zipfile

import numpy as np
import published_files as published
import pytest
import torch

from van_jax.interop import convert as conversion
from van_jax.interop.readers import (
  numpy_arrays,
  pickles,
  torch_tensors,
  weight_files,
)


class Command:
  """Pickles as a call of os.system that leaves a mark."""

  def __init__(self, mark):
    self.mark = mark

  def __reduce__(self):
    return os.system, (f"touch {self.mark}",)


def zipped(path, value):
  torch.save(value, path)


def unzipped(path, value):
  torch.save(value, path, _use_new_zipfile_serialization=False)


def pickled(path, value):
  path.write_bytes(pickle.dumps(value, protocol=4))


@pytest.fixture
def good(tmp_path):
  """Returns the path of a sound official file."""
  path = tmp_path / "good.pth.tar"
  published.write_official(path, published.official())
  return path


def refuse(path, match, kind: type[Exception] = ValueError):
  with pytest.raises(kind) as caught:
    conversion.read_weights(path)
  text = str(caught.value).replace(str(path), "")  # Test names are in paths.
  assert re.search(match, text, re.DOTALL), text
  return caught.value


@pytest.mark.parametrize("write", [zipped, unzipped, pickled])
def test_a_command_is_refused_by_name_and_not_run(write, tmp_path):
  mark = tmp_path / "mark"
  write(tmp_path / "w", {"state_dict": {}, "args": Command(mark)})
  refuse(tmp_path / "w", r"posix\.system", pickles.RefusedError)
  assert not mark.exists()


@pytest.mark.parametrize(
  ("code", "name"),
  [
    (b"cbuiltins\neval\n(V1+1\ntR.", "builtins.eval"),
    (b"c__builtin__\nexec\n(V1\ntR.", "__builtin__.exec"),
    (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
    (b"ctorch\nload\n.", "torch.load"),
    (b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.", "__globals__"),
    (b"ccollections\nOrderedDict.fromkeys\n.", "OrderedDict.fromkeys"),
    (b"cnumpy\nload\n.", "numpy.load"),
    (b"(V1\nios\nsystem\n.", "os.system"),
    (b"csubprocess\nPopen\n.", "subprocess.Popen"),
    (b"csys\nexit\n.", "sys.exit"),
    (b"cshutil\nrmtree\n.", "shutil.rmtree"),
    (b"csocket\nsocket\n.", "socket.socket"),
    (b"cimportlib\nimport_module\n.", "importlib.import_module"),
    (b"crunpy\n_run_code\n.", "runpy._run_code"),
    (b"cctypes\nCDLL\n.", "ctypes.CDLL"),
    (b"c__builtin__\n__import__\n.", "__import__"),
    (b"cbuiltins\ntype\n(V1\ntR.", "builtins.type"),
    (b"csomebody.net\nrun.__globals__\n.", "__globals__"),
    (b"cpip\nmain\n.", "pip.main"),
    (b"\x8c\x02os\x8c\x06system\x93.", "os.system"),
  ],
)
def test_anything_but_data_is_refused_by_name(code, name, tmp_path):
  (tmp_path / "w").write_bytes(b"\x80\x04" + code)
  error = refuse(tmp_path / "w", "refused", pickles.RefusedError)
  assert name in str(error)


@pytest.mark.parametrize(
  "code",
  [
    b"cargparse\nNamespace\n}V__init__\nV1\nsb.",
    b"cargparse\nNamespace\n(N}V__init__\nV1\nstb.",
    b"ccollections\nOrderedDict\n(N}Vget\nV1\nstb.",
    b"ctorch._utils\n_rebuild_tensor_v2\n(N}V__call__\nV1\nstb.",
    b"ctorch\nFloatStorage\n(N}Vname\nV1\nstb.",
    b"cnumpy\ndtype\n(N}V_function\nV1\nstb.",
    b"cbuiltins\ntuple\n(N}Vcount\nV1\nstb.",
    b"cargparse\nNamespace\n)\x81}Vx\nV1\nsbN}V__class__\nV1\nsb.",
  ],
)
def test_state_cannot_be_forced_on_what_pickles_name(code):
  names = [
    argparse.Namespace,
    collections.OrderedDict,
    pickles.Namespace,
    pickles.OrderedDict,
    pickles.Call,
    pickles.Name,
  ]
  before = [dict(vars(name)) for name in names]
  stand_ins = numpy_arrays.names() | torch_tensors.names()
  with pytest.raises(ValueError, match="damaged"):
    pickles.load(io.BytesIO(b"\x80\x04" + code), names=stand_ins)
  assert [dict(vars(name)) for name in names] == before


def test_a_memo_with_gaps_is_refused_before_room_is_made(tmp_path):
  (tmp_path / "w").write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")  # 64 GB.
  refuse(tmp_path / "w", "damaged.*memo")


def test_an_object_array_is_refused(tmp_path):
  value = {"patch_embed1.norm._mean": np.array([{}], dtype=object)}
  pickled(tmp_path / "w", value)
  refuse(tmp_path / "w", r"numpy\.dtype\('O8'\)", pickles.RefusedError)


@pytest.mark.parametrize(
  ("shape", "strides"), [((9,), (1,)), ((1 << 40,), (0,)), ((2,), (-1,))]
)
def test_a_tensor_stays_inside_its_storage(shape, strides, tmp_path):
  # torch refuses to write such a file, so numbers in a sound one are changed.
  sound = io.BytesIO()
  torch.save({"norm1.weight": torch.zeros(8)}, sound)
  code = zipfile.ZipFile(sound).read("archive/data.pkl")
  offset = code.index(b"K\x00K\x08\x85")  # 0, (8,), then (1,), False.
  end = code.index(b"\x89", offset)
  numbers = b"K\x00" + b"".join(
    b"\x8a\x08" + n.to_bytes(8, "little", signed=True) + b"\x85"
    for n in (*shape, *strides)
  )
  hostile = code[:offset] + numbers + code[end:]
  with zipfile.ZipFile(tmp_path / "w", "w") as archive:
    archive.writestr("archive/data.pkl", hostile)
    archive.writestr("archive/data/0", bytes(32))
  refuse(tmp_path / "w", "damaged.*a tensor")


def test_arrays_that_share_their_numbers_are_refused(tmp_path):
  arrays = published.official(
    published.Size(widths=(64, 64, 64, 64), depths=(9, 9, 9, 9))
  )
  state = {name: torch.from_numpy(array) for name, array in arrays.items()}
  for name in [name for name in state if "fc" in name]:
    first = re.sub(r"\.\d+\.", ".0.", name)
    state[name] = state[first]
  torch.save({"state_dict": state}, tmp_path / "w")
  refuse(tmp_path / "w", "share numbers")


def test_a_stage_without_width_is_said(tmp_path):
  state = {
    name: torch.zeros(0, *array.shape[1:])
    if re.match("(block|patch_embed|norm)1", name)
    else torch.from_numpy(array)
    for name, array in published.official().items()
  }
  torch.save({"state_dict": state}, tmp_path / "w")
  refuse(tmp_path / "w", "how wide stage 1 is")


def test_numbers_of_numpy_are_read(tmp_path):
  torch.save({"metric": np.float64(75.4)}, tmp_path / "w")
  with weight_files.open_weights(tmp_path / "w") as contents:
    assert contents.tree == {"metric": 75.4}


def test_a_namespace_is_only_its_fields(tmp_path):
  torch.save({"args": argparse.Namespace(lr=0.5)}, tmp_path / "w")
  with weight_files.open_weights(tmp_path / "w") as contents:
    assert contents.tree["args"].fields == {"lr": 0.5}


@pytest.mark.parametrize("part", [0.2, 0.9, 0.999])
def test_a_truncated_archive_is_said(part, good):
  data = good.read_bytes()
  good.write_bytes(data[: int(len(data) * part)])
  refuse(good, "cut short or damaged")


@pytest.mark.parametrize("part", [0.01, 0.2, 0.9, 0.999])
def test_a_truncated_older_file_is_said(part, tmp_path):
  path = tmp_path / "w.pth"
  published.write_official(path, published.official(), zipped=False)
  data = path.read_bytes()
  path.write_bytes(data[: int(len(data) * part)])
  refuse(path, "cut short|damaged")


@pytest.mark.parametrize("zipped", [True, False])
def test_one_missing_byte_is_said(zipped, tmp_path):
  path = tmp_path / "w.pth"
  published.write_official(path, published.official(), zipped=zipped)
  path.write_bytes(path.read_bytes()[:-1])
  refuse(path, "cut short")


@pytest.mark.parametrize("part", [0.001, 0.2, 0.999])
def test_truncated_safetensors_are_said(part, tmp_path):
  path = tmp_path / "model.safetensors"
  published.write_safetensors(
    path, published.hugging_face(published.official())
  )
  data = path.read_bytes()
  path.write_bytes(data[: int(len(data) * part)])
  refuse(path, "cut short or damaged")


@pytest.mark.parametrize("part", [0.2, 0.999])
def test_truncated_pdparams_are_said(part, tmp_path):
  path = tmp_path / "w.pdparams"
  published.write_paddle(path, published.paddle(published.official()))
  data = path.read_bytes()
  path.write_bytes(data[: int(len(data) * part)])
  refuse(path, "damaged")


def test_a_changed_byte_is_found(good):
  data = bytearray(good.read_bytes())
  data[len(data) // 2] ^= 1  # Inside some tensor.
  good.write_bytes(data)
  refuse(good, "damaged")


@pytest.mark.parametrize("flag", [0x01, 0x20, 0x40])
def test_an_encrypted_archive_is_said(flag, good):
  data = bytearray(good.read_bytes())
  for head, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
    for found in re.finditer(re.escape(head), bytes(data)):
      data[found.start() + place] = flag
  good.write_bytes(data)
  refuse(good, "damaged")


def test_an_archive_that_is_not_torchs_is_said(tmp_path):
  with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
    archive.writestr("README", "weights inside")
  refuse(tmp_path / "w.zip", "torch.save did not write it")


def test_a_compressed_archive_is_refused(tmp_path):  # It could be a bomb.
  with zipfile.ZipFile(
    tmp_path / "w.zip", "w", zipfile.ZIP_DEFLATED
  ) as archive:
    archive.writestr("w/data.pkl", pickle.dumps({}))
  refuse(tmp_path / "w.zip", "compressed")


@pytest.mark.parametrize(
  ("content", "match"),
  [
    (b"", "empty"),
    (b"\n <!DOCTYPE html><html><title>404</title>", "web page"),
    (b"<html>quota exceeded</html>", "web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), "no format known here"),
    (b"\x80\x04K", "damaged"),
  ],
)
def test_what_is_no_weights_is_told_apart(content, match, tmp_path):
  (tmp_path / "w.pth").write_bytes(content)
  error = refuse(tmp_path / "w.pth", match)
  assert str(tmp_path / "w.pth") in str(error)


def test_a_folder_is_refused(tmp_path):
  refuse(tmp_path, "is a folder")


def test_a_missing_file_is_said(tmp_path):
  refuse(tmp_path / "w.pth", "No such file", ValueError)
