"""What is counted, of which model, and the command that prints it."""

import functools
import re
import subprocess
import sys

import pytest
from jax._src import xla_bridge

from van_jax import models
from van_jax.analysis.complexity import complexity, main


@functools.cache
def counted(name, image_size=224, **overrides):
  return complexity(models.create_model(name, **overrides), image_size)


def test_without_a_head_only_the_head_is_missing():
  whole, backbone = counted("van_b0"), counted("van_b0", num_classes=0)
  assert whole.params - backbone.params == 256 * 1000 + 1000
  assert whole.macs - backbone.macs == 256 * 1000
  assert whole.flops - backbone.flops == 256 * 1000 + 1000


def test_products_of_a_strangers_attention_are_counted():
  ours = counted("van_b0", attention="stranger:ChannelMixing")
  # One 3x3 depthwise convolution, as the stranger's.
  near = {"name": "lka", "convs": ("dilated",), "kernel_size": 9}
  bare = complexity(models.create_model("van_b0", attention=near))
  maps = ((32, 56, 3), (64, 28, 3), (160, 14, 5), (256, 7, 2))
  # Two products of a map with another, or with a matrix of channels.
  mixing = sum(2 * c * c * size**2 * depth for c, size, depth in maps)
  assert ours.macs == bare.macs + mixing
  norms = sum(2 * c * size**2 * depth for c, size, depth in maps)
  assert ours.flops - ours.macs == bare.flops - bare.macs + norms
  assert ours.params == bare.params + 2 * sum(c * depth for c, _, depth in maps)


@pytest.mark.parametrize(
  ("image_size", "shapes"),
  [
    (224, ((56, 56, 32), (28, 28, 64), (14, 14, 160), (7, 7, 256))),
    ((33, 32), ((9, 8, 32), (5, 4, 64), (3, 2, 160), (2, 1, 256))),
  ],
)
def test_stage_shapes_are_the_maps(image_size, shapes):
  assert counted("van_b0", image_size).stage_shapes == shapes


def test_counting_computes_nothing(monkeypatch):
  def refuse(*args, **kwargs):
    raise AssertionError("a device was asked for")

  monkeypatch.setattr(xla_bridge, "backends", refuse)
  assert complexity(models.create_model("van_b1"), 64).params == 13_861_800


def test_command_prints_a_row_a_model(capsys):
  main(["van_b0", "van_b1", "--image_size=64", "--num_classes=10"])
  header, *rows = capsys.readouterr().out.splitlines()
  assert header.split()[:4] == ["model", "params", "GMACs", "GFLOPs"]
  params = 4_105_800 - 257 * 990
  assert rows[0].split()[:2] == ["van_b0", f"{params:,}"]
  assert [row.split()[0] for row in rows] == ["van_b0", "van_b1"]
  assert rows[0].split()[-1] == "2x2x256"


def test_command_prints_what_is_published_beside_an_ablations_counts(capsys):
  main(["--ablations", "dense21", "msca"])
  header, *rows = (row.split() for row in capsys.readouterr().out.splitlines())
  assert header == ["model", "params", "GMACs", "GFLOPs", "published"]
  assert rows[0][:2] == ["dense21", "124,734,280"]
  assert " ".join(rows[0][4:]) == "Table 3: 124.7 M, 23.2 G, 76.0 %"
  assert rows[1][:2] + rows[1][4:] == ["msca", "4,160,200", "arXiv:2209.08575"]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["van_b9"], "van_b9.*there are van_b"),
    (["w_o_dw"], "'w_o_dw' is not a model.* want --ablations: w_o_dw"),
    (["--image_size=31"], "at least 32"),
    (["--ablations", "w_o_dwd"], "'w_o_dwd' is no ablation; there are w_o_dw"),
  ],
)
def test_command_names_bad_arguments(arguments, message, capsys):
  with pytest.raises(SystemExit) as exit_info:
    main(arguments)
  assert exit_info.value.code == 2
  assert re.search(message, capsys.readouterr().err, re.DOTALL)


def test_command_runs_as_a_module_without_warnings():
  command = [sys.executable, "-W", "error", "-m"]
  command += ["van_jax.analysis.complexity", "van_b0"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.stderr == ""
  assert "4,105,800" in done.stdout
