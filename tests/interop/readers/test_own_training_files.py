"""What people's own training programs write is read, as if it were bare."""

import collections
import dataclasses
import datetime
import pathlib
import sys
import types
import zipfile

import numpy as np
import published_files as published
import pytest
import torch
from flax import traverse_util

from van_jax.interop import convert as conversion
from van_jax.interop.readers import pickles

SIZE = published.Size()


@pytest.fixture(scope="module")
def arrays():
  return published.official(SIZE)


@pytest.fixture(scope="module")
def average():
  return published.official(SIZE, seed=1)


def prefixed(prefix, arrays):
  return {f"{prefix}{key}": value for key, value in arrays.items()}


def stranger(name, fields=()):
  """Returns an object of a class that only the writing program has."""
  module, _, kind = name.partition(".")
  made = type(kind, (), {"__module__": module})
  setattr(sys.modules.setdefault(module, types.ModuleType(module)), kind, made)
  value = made()
  vars(value).update(fields)
  return value


def save(path, tree):
  """Saves, and forgets the module that `stranger` made."""
  torch.save(tree, path)
  sys.modules.pop("somebody", None)


def assert_holds(bundle, arrays):
  got = traverse_util.flatten_dict(bundle.variables, sep="/")
  want = published.flax_paths(arrays)
  assert got.keys() == want.keys()
  for path, array in want.items():
    np.testing.assert_array_equal(got[path], array, err_msg=path)


# What each program puts before all names, or around what it saves.
WRITTEN = {
  "torch.compile": lambda a: published.tensors(prefixed("_orig_mod.", a)),
  "torch.compile in DataParallel": lambda a: {
    "model": published.tensors(prefixed("module._orig_mod.", a))
  },
  "AveragedModel": lambda a: {
    **published.tensors(prefixed("module.", a)),
    "n_averaged": torch.tensor(12),
  },
  "Lightning": lambda a: {
    "state_dict": published.tensors(prefixed("model.", a)),
    "lr_schedulers": [{"milestones": collections.Counter([1, 2])}],
    "callbacks": {"ModelCheckpoint{'monitor': None, " + "'a': 1, " * 60: {}},
  },
  "Lightning, compiled inside": lambda a: {
    "state_dict": published.tensors(prefixed("net._orig_mod.", a))
  },
  "Lightning, mmpretrain's names": lambda a: {
    "state_dict": published.tensors(prefixed("model.", published.mmpretrain(a)))
  },
  "Lightning, Hugging Face's names": lambda a: {
    "state_dict": published.tensors(
      prefixed("model.", published.hugging_face(a))
    )
  },
  "DeepSpeed": lambda a: {"module": published.tensors(a), "lr": 0.1},
  "settings under the name of weights": lambda a: {
    "model": {"name": "van_b0"},
    "model_state_dict": published.tensors(a),
  },
  "a whole VAN as backbone": lambda a: {
    "state_dict": published.tensors(prefixed("backbone.", a))
  },
}


@pytest.mark.parametrize("program", WRITTEN)
def test_what_programs_put_before_names_is_taken_off(program, arrays, tmp_path):
  torch.save(WRITTEN[program](arrays), tmp_path / "w")
  assert_holds(conversion.read_weights(tmp_path / "w"), arrays)


def test_what_lies_beside_the_network_is_left_out_and_said(
  arrays, tmp_path, caplog
):
  state = published.tensors(prefixed("model.", arrays))
  state["criterion.weight"] = torch.ones(7)
  torch.save({"state_dict": state}, tmp_path / "w")
  bundle = conversion.read_weights(tmp_path / "w")
  assert bundle.source["dropped"] == {"criterion": 1}
  assert "left out: criterion (1 arrays)" in caplog.text


def test_two_networks_in_a_file_are_refused(arrays, average, tmp_path):
  state = published.tensors(
    prefixed("student.", arrays) | prefixed("teacher.", average)
  )
  torch.save({"state_dict": state}, tmp_path / "w")
  with pytest.raises(ValueError, match=r"several VANs.*'student\.'.*'teacher"):
    conversion.read_weights(tmp_path / "w")


def test_everyday_python_in_a_file_is_no_hindrance(arrays, tmp_path, caplog):
  beside = {
    "sets": ({1, 2}, frozenset("ab")),
    "paths": [pathlib.Path("/data"), pathlib.PureWindowsPath("C:/data")],
    "device": torch.device("cuda", 0),
    "dtypes": [torch.float16, np.dtype("float32"), int, type(None)],
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "counter": collections.Counter("abca"),
    "deque": collections.deque([1], maxlen=3),
    "when": datetime.datetime(2024, 1, 1),
    "random": np.random.get_state(),
    "names": np.array(["a", "b"]),
    "layout": torch.strided,
  }
  for protocol in (2, 4):
    torch.save(
      {"state_dict": published.tensors(arrays), **beside},
      tmp_path / "w",
      pickle_protocol=protocol,
    )
    assert_holds(conversion.read_weights(tmp_path / "w"), arrays)
  assert "not rebuilt" not in caplog.text


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_both_containers_are_read_in_newer_protocols(
  protocol, zipped, arrays, tmp_path
):
  torch.save(
    published.tensors(arrays),
    tmp_path / "w",
    pickle_protocol=protocol,
    _use_new_zipfile_serialization=zipped,
  )
  assert_holds(conversion.read_weights(tmp_path / "w"), arrays)


def test_parameters_with_attributes_are_tensors(arrays, tmp_path):
  state = published.tensors(arrays)
  scale = torch.nn.Parameter(state["norm1.weight"])
  scale.decay = False  # pyright: ignore[reportAttributeAccessIssue]
  torch.save({"state_dict": state | {"norm1.weight": scale}}, tmp_path / "w")
  assert_holds(conversion.read_weights(tmp_path / "w"), arrays)


def test_classes_not_known_are_placeholders_and_listed(
  arrays, tmp_path, caplog
):
  history = stranger("somebody.HistoryBuffer", {"_log": np.ones(3)})
  tree = {
    "state_dict": published.tensors(arrays),
    "message_hub": {"log_scalars": {"loss": history, "acc": history}},
  }
  save(tmp_path / "w", tree)
  bundle = conversion.read_weights(tmp_path / "w")
  assert_holds(bundle, arrays)
  assert bundle.source["not_rebuilt"] == ["somebody.HistoryBuffer"]
  assert "no weight depends on one: somebody.Hist" in caplog.text
  assert "somebody" not in sys.modules


@dataclasses.dataclass
class Imported:
  """Leaves a mark if a pickle makes one of it."""

  mark: str

  def __post_init__(self):
    pathlib.Path(self.mark).touch()

  def __reduce__(self):
    return Imported, (self.mark,)


def test_classes_that_are_here_are_not_called_either(arrays, tmp_path):
  mark = tmp_path / "mark"
  value = Imported(str(mark))
  mark.unlink()
  save(tmp_path / "w", {"state_dict": published.tensors(arrays), "x": value})
  conversion.read_weights(tmp_path / "w")
  assert not mark.exists()


def test_methods_of_placeholders_are_placeholders(arrays, tmp_path):
  # As in HistoryBuffer's state: getattr(mmengine...HistoryBuffer, "mean").
  code = (
    b"\x80\x02}(X\x01\x00\x00\x00mcbuiltins\ngetattr\n"
    b"cmmengine.logging\nHistory\nX\x04\x00\x00\x00mean\x86Ru."
  )
  (tmp_path / "w").write_bytes(code)
  with pytest.raises(ValueError, match=r"not VAN's weights: the keys are m;"):
    conversion.read_weights(tmp_path / "w")
  hostile = code.replace(b"cmmengine.logging\nHistory\n", b"cbuiltins\nlist\n")
  (tmp_path / "w").write_bytes(hostile)
  with pytest.raises(pickles.RefusedError, match=r"builtins\.getattr"):
    conversion.read_weights(tmp_path / "w")


def test_weights_in_a_placeholder_are_refused(arrays, tmp_path):
  state = dict(published.tensors(arrays))
  strange = stranger("somebody.Quantized")
  save(tmp_path / "a", {"state_dict": state | {"norm1.weight": strange}})
  with pytest.raises(ValueError, match=r"norm1\.weight and 0 more .*somebody"):
    conversion.read_weights(tmp_path / "a")
  save(tmp_path / "b", {"state_dict": stranger("somebody.State", state)})
  with pytest.raises(
    ValueError, match=r"state_dict is a somebody\.State.*dict"
  ):
    conversion.read_weights(tmp_path / "b")


class Net(torch.nn.Module):
  """A module of which whole pickles are made."""

  def __init__(self):
    super().__init__()
    self.patch_embed1 = torch.nn.Conv2d(3, 8, 7)


@pytest.mark.parametrize("place", ["", "model"])
def test_a_whole_model_is_told_with_what_makes_a_good_file(place, tmp_path):
  torch.save({place: Net()} if place else Net(), tmp_path / "w")
  with pytest.raises(ValueError, match=r"is a whole model, a .*Net") as caught:
    conversion.read_weights(tmp_path / "w")
  where = f'["{place}"]' if place else ""
  assert (
    f'torch.save(torch.load("FILE", weights_only=False){where}.state_dict(), '
    '"weights.pth")'
  ) in str(caught.value)


@pytest.mark.parametrize("place", ["", "state_dict"])
def test_a_state_dict_without_parentheses_is_told(place, tmp_path):
  method = Net().state_dict
  torch.save({place: method} if place else method, tmp_path / "w")
  with pytest.raises(ValueError, match="parentheses are missing") as caught:
    conversion.read_weights(tmp_path / "w")
  assert "torch.save(model.state_dict()" in str(caught.value)


# The entries of torch 2.14's archives, in little; and the line to give.
PROGRAMS = {
  "TorchScript": (
    ("net/data.pkl", "net/code/__torch__/net.py", "net/constants.pkl"),
    'torch.save(torch.jit.load("net").state_dict(), "weights.pth")',
  ),
  "an exported program": (
    ("net/data/weights/weight_0", "net/models/model.json", "net/byteorder"),
    'torch.save(torch.export.load("net").state_dict, "weights.pth")',
  ),
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_programs_are_told_with_what_makes_a_good_file(kind, tmp_path):
  entries, line = PROGRAMS[kind]
  with zipfile.ZipFile(tmp_path / "net", "w") as archive:
    for entry in entries:
      archive.writestr(entry, b"\x80\x02}.")
  with pytest.raises(ValueError, match=f"this is {kind}") as caught:
    conversion.read_weights(tmp_path / "net")
  assert line in str(caught.value)


def test_paddles_bfloat16_is_read(arrays, tmp_path):
  wide = {
    key: value.bfloat16().float().numpy()
    for key, value in published.tensors(published.paddle(arrays)).items()
  }
  halves = {k: (v.view(np.uint32) >> 16).astype("u2") for k, v in wide.items()}
  published.write_paddle(tmp_path / "w", halves)
  bundle = conversion.read_weights(tmp_path / "w")
  expected = {
    key: value.bfloat16().float().numpy()
    for key, value in published.tensors(arrays).items()
  }
  assert_holds(bundle, expected)
  assert set(bundle.source["dtypes"]) == {"bfloat16"}


# mmengine's EMAHook, and Lightning's WeightAveraging, swap when they save.
SWAPPED = {
  "mmengine": lambda plain, average: {
    "state_dict": published.tensors(average),
    "ema_state_dict": {
      "steps": torch.tensor(9),
      **published.tensors(prefixed("module.", plain)),
    },
  },
  "Lightning": lambda plain, average: {
    "state_dict": published.tensors(prefixed("model.", average)),
    "current_model_state": published.tensors(prefixed("model.", plain)),
    "averaging_state": {"n_averaged": torch.tensor(9)},
  },
}


@pytest.mark.parametrize("program", SWAPPED)
def test_averages_under_the_weights_name_are_known_as_such(
  program, arrays, average, tmp_path, caplog
):
  torch.save(SWAPPED[program](arrays, average), tmp_path / "w")
  bundle = conversion.read_weights(tmp_path / "w")
  assert_holds(bundle, average)
  assert bundle.source["averaged"]
  assert "state_dict is the moving average" in caplog.text
  assert "--noaveraged" in caplog.text
  read = conversion.read_weights
  assert_holds(read(tmp_path / "w", averaged=True), average)
  assert_holds(read(tmp_path / "w", averaged=False), arrays)


def test_an_average_alone_is_not_given_for_the_weights(arrays, tmp_path):
  torch.save(WRITTEN["AveragedModel"](arrays), tmp_path / "w")
  assert conversion.read_weights(tmp_path / "w").source["averaged"]
  with pytest.raises(ValueError, match=r"moving average .* alone"):
    conversion.read_weights(tmp_path / "w", averaged=False)
