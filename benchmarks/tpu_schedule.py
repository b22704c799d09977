"""Cycles on a TPU by its compiler: XLA's operations against ours.

  python benchmarks/tpu_schedule.py --output=FILE
  python benchmarks/tpu_schedule.py --shapes=1,128,64,7,3,bfloat16
  python benchmarks/tpu_schedule.py --steps=van_b0,van_b2 --batch_size=64

Needs libtpu (`pip install libtpu`), no TPU. All figures are of compile time:
the bundles that loops are scheduled in times their trips, of our kernels as of
XLA's operations (whose "estimated_cycles" in HLO are another thing, up to 14
times as many). Stalls on memory are not in them, and nothing was run. The limit
is that of the vector units: multiplications and additions over 4096 a cycle.
--steps compiles whole training steps (forward, backward, an update by plain
gradient descent), for minutes each: of a network of Flax's own layers, of ours
with XLA's depthwise convolutions, and of ours as it is by default.
"""

import tpu_compiler  # First, as it sets what libtpu reads.

# isort: split
import json
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import plain_van
from absl import app, flags

import van_jax
from van_jax import ops
from van_jax.analysis.program import hlo, schedule

SHAPES = (  # batch, H = W, C, taps an axis, dilation, dtype
  (8, 56, 128, 7, 3, "float32"),
  (64, 56, 32, 7, 3, "bfloat16"),
  (64, 56, 32, 5, 1, "bfloat16"),
  (64, 56, 256, 3, 1, "bfloat16"),
  (64, 14, 160, 7, 3, "bfloat16"),
  (64, 7, 256, 7, 3, "bfloat16"),
)
DIRECTIONS = ("forward", "input gradient", "kernel gradient")
CONTESTANTS = ("flax", "xla", "auto")

_TPU = flags.DEFINE_string("tpu", "v5e:2x2", "Topology to compile for.")
_SHAPES = flags.DEFINE_multi_string(
  "shapes", [], "One in place of SHAPES, or several: B,H,C,TAPS,DILATION,DTYPE."
)
_STEPS = flags.DEFINE_list("steps", [], "Models whose training step counts.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Examples a step, on a chip.")
_SIZE = flags.DEFINE_integer("image_size", 224, "Pixels along an image's side.")
_OUTPUT = flags.DEFINE_string("output", None, "File for the figures, JSON.")
_KEEP = flags.DEFINE_string("keep", "", "Prefix of files for the steps' HLO.")
_STEP = flags.DEFINE_string("step", None, "MODEL:CONTESTANT, internal.")


def main(_) -> None:
  """Prints the tables that the flags ask for."""
  if _STEP.value:
    print(json.dumps(compile_step(*_STEP.value.split(":"))))
    return
  report = {"tpu": _TPU.value, "operations": [], "steps": []}
  print(f"{'shape':>28} {'direction':>16}    limit      XLA     ours  of limit")
  for shape in map(_shape, _SHAPES.value) if _SHAPES.value else SHAPES:
    for row in operation(*shape):
      report["operations"].append(row)
      print(
        f"{', '.join(map(str, shape)):>28} {row['direction']:>16} "
        f"{row['limit']:8.2e} {row['xla']:8.2e} {row['ours']:8.2e} "
        f"{row['ours'] / row['limit']:9.2f}",
        flush=True,
      )
  for name in _STEPS.value:
    row = step(name)
    report["steps"].append(row)
    print(json.dumps(row), flush=True)
  if _OUTPUT.value:
    pathlib.Path(_OUTPUT.value).expanduser().write_text(
      json.dumps(report, indent=1)
    )


def _shape(text: str) -> tuple[int | str, ...]:
  *numbers, dtype = text.split(",")
  return *map(int, numbers), dtype


def operation(batch, length, channels, size, dilation, dtype):
  """Yields the cycles of one convolution in each direction."""
  import tpu_kernels

  shape = (batch, length, length, channels)
  x = jax.ShapeDtypeStruct(shape, dtype)
  kernel = jax.ShapeDtypeStruct((size, size, 1, channels), dtype)

  def convolve(x, kernel):
    return ops.depthwise_conv(
      x, kernel, dilation=dilation, implementation="xla"
    )

  def gradient(argument):
    return lambda x, k, g: jax.vjp(convolve, x, k)[1](g)[argument]

  programs = (
    (convolve, (x, kernel)),
    (gradient(0), (x, kernel, x)),
    (gradient(1), (x, kernel, x)),
  )
  for n, (run, arguments) in enumerate(programs):
    text, _ = tpu_compiler.compile_for(_TPU.value, run, *arguments)
    kind = tpu_kernels.GRADIENT if n == 2 else tpu_kernels.FORWARD
    yield {
      "shape": [*shape, size, dilation, dtype],
      "direction": DIRECTIONS[n],
      # The convolution, without copies between its layouts and parameters'.
      "xla": max(cycles_by_operation(text).values()),
      "ours": tpu_kernels.cycles(
        _TPU.value, kind, shape, size, dilation, dtype
      ),
      "limit": 2 * batch * length**2 * channels * size**2 // 4096,
    }


def cycles_by_operation(text: str):
  """Returns the cycles of XLA's operations in the program compiled last."""
  return schedule.operations(hlo.parse(text), tpu_compiler.SCHEDULES)


def cycles_of(call: list) -> int:
  """Returns the cycles of a call that `calls_in` found."""
  import tpu_kernels

  kind, shape, size = call
  dilation = 3 if size == 7 else 1  # VAN's.
  return tpu_kernels.cycles(
    _TPU.value, kind, tuple(shape), size, dilation, "bfloat16"
  )


def step(name: str) -> dict:
  """Returns cycles of a training step, and ours over each peer's."""
  row: dict = {"model": name, "batch_size": _BATCH.value}
  for contestant in CONTESTANTS:
    found = json.loads(
      subprocess.run(
        [
          *(sys.executable, __file__, f"--step={name}:{contestant}"),
          *(f"--tpu={_TPU.value}", f"--batch_size={_BATCH.value}"),
          *(f"--image_size={_SIZE.value}", f"--keep={_KEEP.value}"),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
      ).stdout.splitlines()[-1]
    )
    kernels = sum(cycles_of(call) for call in found.pop("calls"))
    row[contestant] = {
      **found,
      "kernels": kernels,
      "cycles": found["operations"] + kernels,
    }
    print(name, contestant, row[contestant], flush=True)
  for peer in CONTESTANTS[:-1]:
    row[f"over_{peer}"] = row["auto"]["cycles"] / row[peer]["cycles"]
  return row


def compile_step(name: str, contestant: str) -> dict:
  """Returns cycles of a step's XLA operations, and its calls of kernels."""
  model = _model(name, contestant)
  side = _SIZE.value
  images = jax.ShapeDtypeStruct((_BATCH.value, side, side, 3), jnp.bfloat16)
  labels = jax.ShapeDtypeStruct((_BATCH.value,), jnp.int32)
  variables = jax.eval_shape(
    lambda: model.init(
      jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False
    )
  )

  def train(params, batch_stats, images, labels):
    def loss_of(params):
      logits, updated = model.apply(
        {"params": params, "batch_stats": batch_stats},
        images,
        train=True,
        mutable=["batch_stats"],
      )
      chosen = jnp.take_along_axis(
        jax.nn.log_softmax(logits), labels[:, None], 1
      )
      return -jnp.mean(chosen), updated

    (loss, updated), gradients = jax.value_and_grad(loss_of, has_aux=True)(
      params
    )
    return jax.tree.map(lambda p, g: p - g, params, gradients), updated, loss

  text, seconds = tpu_compiler.compile_for(
    _TPU.value,
    train,
    variables["params"],
    variables["batch_stats"],
    images,
    labels,
  )
  if _KEEP.value:
    pathlib.Path(f"{_KEEP.value}{name}_{contestant}.hlo").write_text(text)
  return {
    "operations": cycles_by_operation(text).total(),
    "compile_seconds": round(seconds, 1),
    "calls": list(calls_in(text, _BATCH.value)),
  }


def _model(name, contestant):
  ours = van_jax.create_model(
    name,
    dtype="bfloat16",
    implementation="xla" if contestant == "xla" else "auto",
  )
  if contestant != "flax":
    return ours
  return plain_van.PlainVAN(
    widths=ours.widths,
    depths=ours.depths,
    ffn_ratios=ours.ffn_ratios,
    dtype=ours.dtype,
  )


def calls_in(text: str, batch: int):
  """Yields (kind, [B, H, W, C], taps an axis) of our kernels in HLO."""
  for line in text.splitlines():
    match = re.search(
      r"%(depthwise_[a-z_]+)[.\d]* = .*"
      r"operand_layout_constraints={\w+\[([\d,]+)\]",
      line,
    )
    if match is None or 'custom_call_target="tpu_custom_call"' not in line:
      continue
    shape = [int(n) for n in match[2].split(",")]
    H, W, S, L = shape
    channels = L if batch == S else S
    taps = re.search(r"f32\[\d+,(\d+),\d+,8,128\]", line)
    if taps is not None:
      yield match[1], [batch, H, W, channels], int(taps[1])


if __name__ == "__main__":
  app.run(main)
