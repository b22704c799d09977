"""NVIDIA's cards as XLA's compiler must know them to compile without one.

Numbers are of NVIDIA's data sheets and of what the driver reports; a field is
that of GpuTargetConfigProto, which XLA reads as text.
"""

from typing import NamedTuple


class Card(NamedTuple):
  """A card.

  Attributes:
    title: as the driver names it.
    capability: major and minor of its compute capability.
    cores: streaming multiprocessors.
    lanes: float32 units of one.
    threads: that one holds.
    shared: bytes of shared memory of one.
    cache: bytes of the second level.
    bandwidth: bytes a second.
    clock: GHz, at most.
    memory: bytes that the driver shows.
  """

  title: str
  capability: tuple[int, int]
  cores: int
  lanes: int
  threads: int
  shared: int
  cache: int
  bandwidth: float
  clock: float
  memory: int


_KB, _MB = 1 << 10, 1 << 20

_H100 = Card(
  *("NVIDIA H100 80GB HBM3", (9, 0), 132, 128, 2048, 228 * _KB),
  *(50 * _MB, 3352e9, 1.98, 81008 * _MB),
)
CARDS = {
  "v100": Card(
    *("Tesla V100-SXM2-16GB", (7, 0), 80, 64, 2048, 96 * _KB),
    *(6 * _MB, 898e9, 1.53, 16151 * _MB),
  ),
  "t4": Card(
    *("Tesla T4", (7, 5), 40, 64, 1024, 64 * _KB),
    *(4 * _MB, 320e9, 1.59, 15095 * _MB),
  ),
  "a10g": Card(
    *("NVIDIA A10G", (8, 6), 80, 128, 1536, 100 * _KB),
    *(6 * _MB, 600e9, 1.71, 22731 * _MB),
  ),
  "l4": Card(
    *("NVIDIA L4", (8, 9), 58, 128, 1536, 100 * _KB),
    *(48 * _MB, 300e9, 2.04, 22491 * _MB),
  ),
  "l40s": Card(
    *("NVIDIA L40S", (8, 9), 142, 128, 1536, 100 * _KB),
    *(96 * _MB, 864e9, 2.52, 45589 * _MB),
  ),
  "rtx4090": Card(
    *("NVIDIA GeForce RTX 4090", (8, 9), 128, 128, 1536, 100 * _KB),
    *(72 * _MB, 1008e9, 2.52, 24210 * _MB),
  ),
  "a100-40gb": Card(
    *("NVIDIA A100-SXM4-40GB", (8, 0), 108, 64, 2048, 164 * _KB),
    *(40 * _MB, 1555e9, 1.41, 40338 * _MB),
  ),
  "a100": Card(
    *("NVIDIA A100-SXM4-80GB", (8, 0), 108, 64, 2048, 164 * _KB),
    *(40 * _MB, 2039e9, 1.41, 81154 * _MB),
  ),
  "h100": _H100,
  "h100-mega": _H100,  # In Google's machines with a faster network.
  "h200": Card(
    *("NVIDIA H200", (9, 0), 132, 128, 2048, 228 * _KB),
    *(50 * _MB, 4800e9, 1.98, 143167 * _MB),
  ),
  "b200": Card(
    *("NVIDIA B200", (10, 0), 148, 128, 2048, 228 * _KB),
    *(126 * _MB, 7672e9, 1.965, 182642 * _MB),
  ),
}

_PROTO = """
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: {shared}
  shared_memory_per_block_optin: {optin}
  threads_per_core_limit: {threads}
  core_count: {cores}
  fpus_per_core: {lanes}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  memory_bandwidth: {bandwidth}
  l2_cache_size: {cache}
  clock_rate_ghz: {clock}
  device_memory_size: {memory}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  cuda_compute_capability {{
    major: {major}
    minor: {minor}
    feature_extension: {extension}
  }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 8 patch: 0 }}
device_description_str: "{title}"
"""


def bandwidth(title: str) -> float | None:
  """Returns the bytes a second of a card's memory; None of one unknown."""
  return next((c.bandwidth for c in CARDS.values() if c.title == title), None)


def target_config(kind: str) -> str:
  """Returns a card's GpuTargetConfigProto as text.

  Args:
    kind: a row of CARDS.
  """
  card = CARDS[kind]
  major, minor = card.capability
  return _PROTO.format(
    **card._asdict() | {"bandwidth": int(card.bandwidth)},
    # One block may have what is left by the kilobyte that the system takes;
    # before Ampere all of it.
    optin=card.shared - (_KB if major >= 8 else 0),
    major=major,
    minor=minor,
    extension="ACCELERATED_FEATURES" if major >= 9 else "NONE",
  )
