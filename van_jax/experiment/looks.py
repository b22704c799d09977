"""How a config has whole images looked at, in their evaluation."""

from collections.abc import Callable
from typing import Any

from van_jax.evaluation import views
from van_jax.experiment import section_table
from van_jax.experiment.section_table import Config

_ONCE = {"ratios": (1.0,), "flip": False, "window": None, "stride": None}


def applied(config: Config, apply: Callable[..., Any]) -> Callable[..., Any]:
  """Returns a model's `apply`, or what makes its views; see `views`.

  Args:
    config: of the run.
    apply: `(variables, images, *, train) -> logits`.

  Raises:
    UserError: for ratios or windows that are none.
  """
  if not section_table.has_masks(config):
    return apply
  given = {name: _plain(config.evaluation[name]) for name in _ONCE}
  return apply if given == _ONCE else views.make_apply(apply, **given)


def _plain(value: Any) -> Any:
  return tuple(value) if isinstance(value, list | tuple) else value
