"""Runs: the only floor that reads a config."""

from van_jax.experiment.evaluation import (
  evaluate as evaluate,
  load_run as load_run,
)
from van_jax.experiment.training import train as train
