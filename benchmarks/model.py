"""Whole models: images a second, ours against PyTorch's.

  python benchmarks/model.py --models=van_b0,van_b1,van_b2 --output=model.json
  python benchmarks/model.py --models=van_b0+fpn --size=512 --batch=2

Each contestant is a process of its own; they take turns, a few runs each, so
that what else the machine does hits all of them, and medians are compared. On
a CPU: PyTorch eager, channels_last and contiguous, as many threads as cores,
batch 8, float32. On a GPU, if JAX sees one: PyTorch with channels_last,
torch.compile and autocast, batch 256, float32 and bfloat16; there gpu.sh beside
this says more of whole steps. A training step is the loss's gradient for all
weights, BatchNorm in training mode.

Ours runs as programs of ours start: on CPUs malloc keeps its memory
(`van_jax.host_memory`). --return_memory adds ours without that, to see what it
brings and what it costs in resident memory, and --keep_memory gives all of them
GLIBC_TUNABLES by which malloc keeps its memory, in huge pages. Prints a line a
measurement; needs jax, flax, optax and torch.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any

import segmenter_runs
from absl import app, flags

_MODELS = flags.DEFINE_list(
  "models", ["van_b0", "van_b1", "van_b2"], "Names; NAME+HEAD: a segmenter."
)
_MODES = flags.DEFINE_list("modes", ["inference", "training"], "What to run.")
_BATCH = flags.DEFINE_integer("batch", None, "Images; default 8, 256 on a GPU.")
_SIZE = flags.DEFINE_integer("size", 224, "Pixels a side.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Turns of each contestant.")
_RUNS = flags.DEFINE_integer("runs", 3, "Runs a turn.")
_CONVS = flags.DEFINE_list("convs", ["auto"], "Our depthwise convolutions.")
_RETURN = flags.DEFINE_bool("return_memory", False, "Ours without it, too.")
_KEEP = flags.DEFINE_bool("keep_memory", False, "Let malloc keep its memory.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

_RETURNING = "returning memory"
_KEEPING = ":".join(
  f"glibc.malloc.{name}"
  for name in (
    "hugetlb=1",
    "mmap_max=0",
    "trim_threshold=68719476736",
    "arena_max=1",
  )
)


def main(_) -> None:
  """Prints the table and the ratios."""
  gpu = _sees_gpu()
  batch = _BATCH.value or (256 if gpu else 8)
  results = []
  for name in _MODELS.value:
    for dtype in ("float32", "bfloat16") if gpu else ("float32",):
      for mode in _MODES.value:
        row = {"model": name, "mode": mode, "dtype": dtype, "batch": batch}
        row |= compare(row, contestants(gpu))
        print(json.dumps(row), flush=True)
        results.append(row)
  if _OUTPUT.value:
    pathlib.Path(_OUTPUT.value).expanduser().write_text(
      json.dumps(results, indent=2)
    )


def contestants(gpu: bool) -> list[str]:
  """Returns the names of what is compared."""
  ours = [f"jax {conv}" for conv in _CONVS.value]
  if _RETURN.value:
    ours += [f"{name} {_RETURNING}" for name in ours]
  if gpu:
    return [*ours, "torch channels_last", "torch compiled"]
  return [*ours, "torch channels_last", "torch contiguous"]


def compare(job: dict, names: list[str]) -> dict:
  """Returns images a second and MB of each, and our best over PyTorch's.

  MB are resident: the most at any time, and at the end.
  """
  workers = {name: start(job | {"name": name}) for name in names}
  seconds: dict[str, list[float]] = {name: [] for name in names}
  for turn in range(_ROUNDS.value + 1):
    for name, worker in workers.items():
      worker.stdin.write(f"{_RUNS.value}\n")
      worker.stdin.flush()
      taken = json.loads(worker.stdout.readline())
      if turn:  # The first one compiles.
        seconds[name] += taken
  resident = {}
  for name, worker in workers.items():
    worker.stdin.close()
    resident[name] = json.loads(worker.stdout.readline())
    worker.wait()
  rates = {
    name: job["batch"] / statistics.median(s) for name, s in seconds.items()
  }
  fastest = {name: job["batch"] / min(s) for name, s in seconds.items()}
  return {
    "images_per_second": {k: round(v, 2) for k, v in rates.items()},
    "resident_mb": resident,
    "ratio": round(_ratio(rates), 3),
    "ratio_of_fastest_runs": round(_ratio(fastest), 3),
  }


def _ratio(rates: dict[str, float]) -> float:
  ours = max(
    rate
    for name, rate in rates.items()
    if name.startswith("jax") and not name.endswith(_RETURNING)
  )
  return ours / max(v for k, v in rates.items() if k.startswith("torch"))


def start(job: dict) -> Any:
  """Starts the process of a contestant."""
  environment = dict(os.environ)
  if _KEEP.value:
    environment["GLIBC_TUNABLES"] = _KEEPING
  return subprocess.Popen(
    [sys.executable, __file__, "--worker", json.dumps(job | _size())],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env=environment,
    text=True,
  )


def _size() -> dict:
  return {"size": _SIZE.value}


def _sees_gpu() -> bool:
  program = "import jax; print(jax.default_backend())"
  out = subprocess.check_output([sys.executable, "-c", program], text=True)
  return out.strip().splitlines()[-1] == "gpu"


def work(job: dict) -> None:
  """Times runs whenever a line asks for some; at the end tells its memory."""
  segmenter = "+" in job["model"]
  runs = (
    (segmenter_runs.jax_run, segmenter_runs.torch_run)
    if segmenter
    else (jax_run, torch_run)
  )
  run = runs[job["name"].startswith("torch")](job)
  for line in sys.stdin:
    taken = []
    for _ in range(int(line)):
      start = time.perf_counter()
      run()
      taken.append(time.perf_counter() - start)
    print(json.dumps(taken), flush=True)
  print(json.dumps(_resident()), flush=True)


def _resident() -> list[int]:
  """Returns this process's MB, the most and now, as Linux counts them."""
  status = pathlib.Path("/proc/self/status").read_text()
  kilobytes = dict(line.split(":", 1) for line in status.splitlines())
  return [
    round(int(kilobytes[name].split()[0]) / 1e3) for name in ("VmHWM", "VmRSS")
  ]


def jax_run(job: dict):
  """Returns a function that runs our model once."""
  import jax
  import jax.numpy as jnp
  import optax

  from van_jax import host_memory, models

  if not job["name"].endswith(_RETURNING):
    host_memory.keep_on_cpus()
  model = models.create_model(
    job["model"],
    dtype=job["dtype"],
    implementation=job["name"].split()[1],
  )
  shape = (job["batch"], job["size"], job["size"], 3)
  images = jax.random.normal(jax.random.key(0), shape)
  labels = jnp.arange(job["batch"])
  plain = models.create_model(job["model"], implementation="xla")
  variables = jax.jit(plain.init)(jax.random.key(1), images[:1])

  def loss(params, statistics, images):
    logits, updated = model.apply(
      {"params": params, "batch_stats": statistics},
      images,
      train=True,
      mutable=["batch_stats"],
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses), updated

  @jax.jit
  def step(variables, images):
    gradient = jax.value_and_grad(loss, has_aux=True)
    return gradient(variables["params"], variables["batch_stats"], images)

  @jax.jit
  def infer(variables, images):
    return model.apply(variables, images, train=False)

  run = step if job["mode"] == "training" else infer
  return lambda: jax.block_until_ready(run(variables, images))


def torch_run(job: dict):
  """Returns a function that runs PyTorch's model once."""
  import torch

  from van_jax import models
  from van_jax.interop.proof import torch_van

  device = "cuda" if torch.cuda.is_available() else "cpu"
  if device == "cpu":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
  style = job["name"].split()[1]
  layout: Any = torch.channels_last
  if style == "contiguous":
    layout = torch.contiguous_format
  variant = models.VARIANTS[job["model"]]
  network: Any = torch_van.TorchVAN(
    variant.widths, variant.depths, variant.ffn_ratios
  )
  network = network.to(device, memory_format=layout)
  network.train(job["mode"] == "training")
  forward = torch.compile(network) if style == "compiled" else network
  shape = (job["batch"], 3, job["size"], job["size"])
  images = torch.randn(shape, device=device).to(memory_format=layout)
  labels = torch.arange(job["batch"], device=device)
  half = torch.autocast(
    device, torch.bfloat16, enabled=job["dtype"] == "bfloat16"
  )

  def run():
    if job["mode"] == "inference":
      with torch.no_grad(), half:
        forward(images)
    else:
      network.zero_grad(set_to_none=True)
      with half:
        logits = forward(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
      loss.backward()
    if device == "cuda":
      torch.cuda.synchronize()

  return run


if __name__ == "__main__":
  if sys.argv[1:2] == ["--worker"]:
    work(json.loads(sys.argv[2]))
  else:
    app.run(main)
