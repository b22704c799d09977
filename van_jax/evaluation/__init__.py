"""Exact evaluation: sums over examples, divided once at the end."""

from van_jax.evaluation.evaluator import (
  accumulate as accumulate,
  evaluate as evaluate,
  make_eval_step as make_eval_step,
)
