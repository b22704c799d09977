"""The TPU compiler takes our kernels: for v5e, v6e and v5p, without a TPU."""

import pytest

PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from van_jax import ops

topology, batch, length, channels, size, dilation, dtype = sys.argv[1:]
batch, length, channels, size, dilation = map(
  int, (batch, length, channels, size, dilation))
devices = topologies.get_topology_desc(
  platform="tpu", topology_name=topology).devices
mesh = Mesh(np.array(devices), ("batch",))
split, whole = (NamedSharding(mesh, P(*s)) for s in (("batch",), ()))

def run(x, kernel, bias, gradient):
  y, vjp = jax.vjp(
    lambda x, k, b: ops.depthwise_conv(
      x, k, bias=b, dilation=dilation, implementation="pallas_tpu"),
    x, kernel, bias)
  return y, *vjp(gradient)

x = jax.ShapeDtypeStruct(
  (batch * mesh.size, length, length, channels), dtype, sharding=split)
kernel, bias = (
  jax.ShapeDtypeStruct(s, jnp.float32, sharding=whole)
  for s in ((size, size, 1, channels), (channels,)))
text = jax.jit(run).lower(x, kernel, bias, x).compile().as_text()
words = (
  "convolution", "all-reduce", "all-gather", "all-to-all", "collective-permute")
print({word: text.count(f" {word}(") for word in words})
print("kernels", text.count('custom_call_target="tpu_custom_call"'))
"""

# (topology, batch a chip, height = width, channels, taps, dilation, dtype):
# stages of VAN that ask most of VMEM or of the layout, and odd ones.
CASES = [
  # Channels in sublanes, two to a register.
  ("v5e:2x2", 64, 56, 32, 7, 3, "bfloat16"),
  ("v5e:2x2", 8, 128, 64, 7, 3, "float32"),  # B1 at 512: the widest map.
  # B6 at 384; its last 128 not full.
  ("v5e:2x2", 16, 24, 480, 7, 3, "bfloat16"),
  # A full register, and four groups in one.
  ("v5e:2x2", 32, 14, 160, 5, 1, "bfloat16"),
  ("v5e:2x2", 4, 7, 2048, 3, 1, "bfloat16"),  # Less than eight examples.
  ("v5e:2x2", 3, 5, 130, 4, 2, "float32"),
  # The plan asks no chip what it is: of the others one case a dtype that has
  # arithmetic of its own there, and the one with most VMEM.
  ("v6e:2x2", 64, 56, 32, 7, 3, "bfloat16"),
  ("v6e:2x2", 3, 5, 130, 4, 2, "float32"),
  ("v5p:2x2x1", 8, 128, 64, 7, 3, "float32"),
]


@pytest.mark.tpu
def test_a_map_too_wide_for_vmem_compiles(compile_for_tpus):
  """At 512 x 704, as most images of ADE20K are evaluated."""
  said = compile_for_tpus(PROGRAM, "v5e:2x2", 8, 176, 64, 7, 3, "float32")
  assert "kernels 0" in said


@pytest.mark.tpu
@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_kernels_and_one_all_reduce(case, compile_for_tpus):
  said = compile_for_tpus(PROGRAM, *case)
  # Forward, input gradient, kernel and bias gradient; no convolution of XLA's.
  assert "kernels 3" in said
  counts = "{'convolution': 0, 'all-reduce': 1, 'all-gather': 0, "
  counts += "'all-to-all': 0, 'collective-permute': 0}"
  assert counts in said
