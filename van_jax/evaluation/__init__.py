"""Exact evaluation: sums over examples, divided once at the end."""

from van_jax.evaluation.metrics import accumulate as accumulate
from van_jax.evaluation.metrics import batch_sums as batch_sums
from van_jax.evaluation.metrics import finalize as finalize
