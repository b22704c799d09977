"""XLA's compiler for GPUs takes our kernels: for sm_80 and sm_90, without one.

It fails where a kernel keeps in memory what should be in registers. `make
test-cuda` brings it.
"""

import json
import os
import subprocess
import sys

import pytest

from van_jax import errors
from van_jax.parallel import absent, topologies

# What XLA says where the plugin is installed, and no assembler of NVIDIA's.
NO_PTXAS = "No PTX compilation provider is available"
PROGRAM = """
import functools, json, sys
import jax, jax.numpy as jnp
from van_jax import ops
from van_jax.models.block import Attention
from van_jax.parallel import absent, topologies

device, = absent.devices(topologies.parse(sys.argv[1]))
here = jax.sharding.SingleDeviceSharding(device)

def array(shape, dtype):
  return jax.ShapeDtypeStruct(shape, dtype, sharding=here)

def convolution(length, channels, taps, dilation, dtype):
  x = array((256, length, length, channels), dtype)
  kernel = array((taps, taps, 1, channels), "float32")
  bias = array((channels,), "float32")
  how = {"dilation": dilation, "implementation": "pallas_gpu"}
  def convolve(x, kernel, bias):
    return ops.depthwise_conv(x, kernel, bias=bias, **how)
  def convolve_gelu(x, kernel, bias):
    return ops.depthwise_conv_gelu(
      x, kernel, bias=bias, input_bias=bias, **how)
  run = convolve_gelu if taps == 3 else convolve  # As a block has them.
  def gradients(x, kernel, bias, gradient):
    y, vjp = jax.vjp(run, x, kernel, bias)
    return y, *vjp(gradient)
  return gradients, (x, kernel, bias, x)

def attention(length, channels, dtype):
  block = Attention(implementation="pallas_gpu", dtype=dtype)
  x = array((256, length, length, channels), dtype)
  variables = jax.eval_shape(
    functools.partial(block.init, train=False), jax.random.key(0), x)
  variables = jax.tree.map(lambda a: array(a.shape, a.dtype), variables)
  def loss(variables, x):
    return block.apply(variables, x, train=False).astype(jnp.float32).sum()
  return jax.grad(loss, (0, 1)), (variables, x)

found = []
for what in json.loads(sys.argv[2]):
  ours = len(what) > 3  # Of an attention's some are fusions of XLA's.
  run, arrays = (convolution if ours else attention)(*what)
  text = jax.jit(run).lower(*arrays).compile(compiler_options={
    "xla_gpu_fail_ptx_compilation_on_register_spilling": ours}).as_text()
  print(what, "is compiled", file=sys.stderr)
  found.append([text.count(s) for s in ("xla.gpu.triton", "feature_group")])
print(json.dumps(found))
"""

# (height = width, channels, taps, dilation, dtype), 256 maps, a card's batch:
# ptxas counts registers for the program as it is. With 2 of 7 x 7 x 256 it puts
# an index into memory to have 96 registers, and five programs a processor.
LAST = (7, 256, 7, 3, "bfloat16")  # Least rows, and not all taps.
MOST = (14, 160, 7, 3, "bfloat16")  # Of registers. Blocks of 32 channels.
FIRST = (56, 32, 5, 1, "bfloat16")  # Most columns a unit.
GELU = (28, 512, 3, 1, "bfloat16")
CASES = {
  "h200:1": [
    *(FIRST, (56, 32, 7, 3, "bfloat16"), GELU, MOST, LAST),
    *((28, 512, 3, 1, "float32"), (9, 33, 4, 2, "float16")),
  ],
  "a100:1": [FIRST, MOST, LAST],
}


@pytest.fixture(scope="module")
def compile_for_gpus():
  """Returns a function that compiles in a process of its own."""
  topology = topologies.parse("h200:1")
  try:
    absent.check_compiler(topology)
  except errors.UserError as error:
    pytest.skip(str(error))

  def compile_for_gpus(card, cases):
    process = subprocess.run(
      [sys.executable, "-c", PROGRAM, card, json.dumps(cases)],
      capture_output=True,
      text=True,
      env=os.environ | absent.environment(topology),
    )
    if NO_PTXAS in process.stderr:
      pytest.skip(
        "no ptxas: pip install nvidia-cuda-nvcc-cu12, for CUDA 12's plugin"
      )
    assert process.returncode == 0, process.stderr[-4000:]
    return json.loads(process.stdout.splitlines()[-1])

  return compile_for_gpus


@pytest.mark.parametrize("card", CASES)
def test_three_kernels_and_no_register_is_spilled(card, compile_for_gpus):
  found = compile_for_gpus(card, CASES[card])
  # Forward, input gradient, kernel and bias gradient; cuDNN has none of them.
  assert found == [[3, 0]] * len(CASES[card])


def test_an_attention_of_b0_has_no_depthwise_convolution_of_cudnns(
  compile_for_gpus,
):
  found = compile_for_gpus("h200:1", [(7, 256, "bfloat16")])
  assert found == [[6, 0]]  # Two convolutions', three each.
