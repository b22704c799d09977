"""A page about runs, from what their workdirs hold: read, drawn, written down.

  runs = report.read(["runs/a", "runs/b"])
  nothing = [report.Examined() for _ in runs]
  text = report.page(runs, nothing, default={}, made=time.time())

`python -m van_jax.analysis.report` scores the weights beside, for which it
needs a config, a model and data; see `experiment.write_report`.
"""

from van_jax.analysis.report.document import page
from van_jax.analysis.report.examined import Examined, Picture, choose
from van_jax.analysis.report.runs import Run, read

__all__ = ["Examined", "Picture", "Run", "choose", "page", "read"]
