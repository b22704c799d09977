"""Accelerators by the names that people say, and the names that are none."""

import math
import pathlib
import re
import tomllib

import pytest

from launch import accelerators
from van_jax import errors
from van_jax.parallel import absent, graphics_cards, topologies

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
  ("text", "name", "devices", "chips"),
  [
    ("v4-128", "v4:4x4x4", 64, 64),  # 128 cores; both of a chip are one device.
    ("v4:2x2x1", "v4:2x2x1", 4, 4),
    ("v5litepod-256", "v5e:16x16", 256, 256),
    ("V5e-1", "v5e:1x1", 1, 1),
    ("v5p-256", "v5p:4x4x8", 128, 128),
    ("v5p-512", "v5p:4x8x8", 256, 256),  # And not 4x4x16.
    ("v6e:8x16", "v6e:8x16", 128, 128),
    ("tpu7x:2x2x1", "tpu7x:2x2x1", 8, 4),
    ("2xv5e:16x16", "2xv5e:16x16", 512, 512),
    ("4xv5litepod-16", "4xv5e:4x4", 64, 64),
    ("h100:8", "h100:8", 8, 8),
    ("2xh100-80gb:8", "2xh100:8", 16, 16),
    ("a100-40gb:4", "a100-40gb:4", 4, 4),
    ("h100-mega:8", "h100-mega:8", 8, 8),
    ("cpu:8", "cpu:8", 8, 8),
  ],
)
def test_a_name_stands_for_devices(text, name, devices, chips):
  found = topologies.parse(text)
  assert (found.name, found.devices, found.chips) == (name, devices, chips)
  assert topologies.parse(found.name) == found


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("v5e:64x64", r"nearest are v5e:16x16 \(256 chips\).*v5e has 1x1, 2x2"),
    ("v6e:6x6", r"nearest are v6e:4x8 \(32 chips\)"),
    ("v4:4x4x6", r"nearest are v4:4x4x\d.*multiples of 4.*4096 chips"),
    ("v5p-24", r"nearest are v5p:2x2x4"),
    ("v5p:16x16x28", r"nearest are .*up to 6144 chips"),
    ("v5e", "has no shape; write v5e:8x8, say, for 64 chips"),
    ("v5ep:4x4", "did you mean v5"),
    ("h200:99", r"1 to 16: h200:8; several hosts are 2xh200:8"),
    ("2xcpu:4", "devices of one host's CPU"),
    ("16x16", "write KIND:SHAPE"),
    ("", "write KIND:SHAPE"),
  ],
)
def test_what_does_not_exist_is_refused_with_what_does(text, said):
  with pytest.raises(errors.UserError, match=said) as error:
    topologies.parse(text)
  assert "\n" not in str(error.value)


def test_shapes_of_cubes_are_those_of_the_documents():
  found = topologies.shapes("v5p")
  # "most common shapes" of cloud.google.com/tpu/docs/v5p, and the largest.
  documented = "2x2x1 2x2x2 2x4x4 4x4x4 4x4x8 4x8x8 8x8x8 8x8x16 8x16x16 "
  documented += "16x16x16 16x16x24"
  for shape in documented.split():
    assert tuple(map(int, shape.split("x"))) in found
  assert max(map(math.prod, found)) == 6144
  cubes = [shape for shape in found if math.prod(shape) >= 64]
  assert all(a <= b <= c and a % 4 == 0 for a, b, c in cubes)


def test_what_is_launched_is_what_a_dry_run_compiles_for():
  assert accelerators.TPUS.keys() == topologies.TPUS.keys()
  assert accelerators.GPUS.keys() <= graphics_cards.CARDS.keys()
  for kind in topologies.TPUS:
    for shape in topologies.shapes(kind):
      name = f"2x{kind}:{'x'.join(map(str, shape))}"
      rented, compiled = accelerators.parse(name), topologies.parse(name)
      assert rented.slices == compiled.slices == 2
      assert rented.hosts * rented.chips == math.prod(compiled.shape)


@pytest.mark.parametrize("kind", accelerators.GPUS)
def test_cards_that_are_launched_have_a_dry_run_of_as_much_memory(kind):
  found = topologies.parse(f"2x{kind}:8")
  assert found.devices == 16
  if size := re.search(r"(\d+)gb", accelerators.GPUS[kind]):
    memory = graphics_cards.CARDS[found.kind].memory / 1e9
    assert memory == pytest.approx(int(size[1]), rel=0.1)  # Some is reserved.


@pytest.mark.parametrize(
  ("name", "said"),
  [
    ("v5e:4x4", r"pip install 'libtpu==0\.\d+.*'; no TPU is needed"),
    ("h100:8", r"pip install 'jax\[cuda13\]==.*'; no GPU is needed"),
  ],
)
def test_a_missing_compiler_is_named(monkeypatch, name, said):
  monkeypatch.setattr(absent, "_has", lambda module: False)
  with pytest.raises(errors.UserError, match=said):
    absent.devices(topologies.parse(name))


def test_the_plugin_that_is_recommended_is_what_our_extra_brings():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  (brought,) = project["optional-dependencies"]["cuda"]
  assert brought == f"jax[{absent.CUDA_EXTRAS[0]}]"


def test_a_cpu_has_as_many_devices_as_asked_for(monkeypatch):
  monkeypatch.setenv(
    "XLA_FLAGS", "--xla_force_host_platform_device_count=8 --xla_a=1"
  )
  flags = absent.environment(topologies.parse("cpu:3"))["XLA_FLAGS"]
  assert flags == "--xla_a=1 --xla_force_host_platform_device_count=3"
  assert absent.environment(topologies.parse("v5e:2x2"))["XLA_FLAGS"] == ""


@pytest.mark.parametrize("kind", graphics_cards.CARDS)
def test_a_card_is_written_with_all_its_fields(kind):
  text = graphics_cards.target_config(kind)
  assert text.count("{") == text.count("}") == 3
  assert "None" not in text
  memory = graphics_cards.CARDS[kind].memory
  assert f"device_memory_size: {memory}\n" in text
