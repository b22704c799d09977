"""Processes that run one program together: how they join, meet and agree.

JAX's own distributed runtime does it; here are its deadlines, and who is
missing when one is over. One process alone pays nothing for any of it.
"""

from van_jax.parallel.processes.alone import (
  check_alone as check_alone,
  check_joined as check_joined,
)
from van_jax.parallel.processes.cluster import Group as Group
from van_jax.parallel.processes.joining import join as join
from van_jax.parallel.processes.listing import listed as listed
from van_jax.parallel.processes.meeting import (
  barrier as barrier,
  broadcast as broadcast,
  first_does as first_does,
  gather as gather,
)
from van_jax.parallel.processes.runtime import (
  count as count,
  index as index,
  post as post,
  read as read,
  read_all as read_all,
  several as several,
)
