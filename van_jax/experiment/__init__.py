"""Runs: the only floor that reads a config."""

from van_jax.experiment.dry_run.run import dry_run as dry_run
from van_jax.experiment.evaluation import evaluate as evaluate
from van_jax.experiment.preview import draw_preview as draw_preview
from van_jax.experiment.report import write_report as write_report
from van_jax.experiment.training import train as train
from van_jax.experiment.weights import load_weights as load_weights
