"""Many devices: their mesh, and batches and states spread over it."""

from van_jax.parallel.batches import (
  check_batch_size as check_batch_size,
  prefetch as prefetch,
  shard_batch as shard_batch,
)
from van_jax.parallel.gathering import (
  whole_array as whole_array,
  whole_on_first as whole_on_first,
)
from van_jax.parallel.mesh import (
  BATCH_AXES as BATCH_AXES,
  check_platforms as check_platforms,
  create_mesh as create_mesh,
  replicated as replicated,
  split_by_example as split_by_example,
)
from van_jax.parallel.placement import (
  check_fsdp as check_fsdp,
  placed as placed,
  shard_bytes as shard_bytes,
  state_shardings as state_shardings,
  with_shardings as with_shardings,
)
