"""How a config has whole images looked at, in their evaluation."""

from collections.abc import Callable
from typing import Any

from van_jax import errors
from van_jax.data import arguments
from van_jax.evaluation import views
from van_jax.experiment import section_table, sections
from van_jax.experiment.section_table import Config

_WHOLE = {"flip": False, "window": None, "stride": None}


def ratios(config: Config) -> tuple[float, ...]:
  """Returns the ratios of the size at which images are looked at.

  Raises:
    UserError: for ratios that are none.
  """
  if not section_table.has_masks(config):
    return (1.0,)
  given = tuple(config.evaluation.ratios)
  arguments.check_ratios(given, "evaluation.ratios")
  return given


def check_seen(config: Config) -> None:
  """Raises UserError where the network would see too little of any image.

  An image's shorter side becomes as long as the scale's, at most. What is too
  long and narrow, or as small as it lies, the data tells.
  """
  if not section_table.has_masks(config):
    return
  shown = sections.build(config, "preprocessing")
  if shown.scale is None:
    return
  short = min(shown.scale)
  for ratio in ratios(config):
    if reason := shown.complaint(short, short, ratio):
      raise errors.UserError(f"preprocessing.scale={shown.scale}: {reason}.")


def applied(config: Config, apply: Callable[..., Any]) -> Callable[..., Any]:
  """Returns a model's `apply`, or what makes its views; see `views`.

  Args:
    config: of the run.
    apply: `(variables, images, *, train) -> logits`.

  Raises:
    UserError: for windows that are none.
  """
  if not section_table.has_masks(config):
    return apply
  given = {name: _plain(config.evaluation[name]) for name in _WHOLE}
  once = given == _WHOLE and len(ratios(config)) == 1
  if once:
    return apply
  made = views.make_apply(apply, **given)
  _check_seen(given["window"])
  return made


def _check_seen(window: tuple[int, int] | None) -> None:
  """Raises UserError for windows that are too small for the network."""
  least = arguments.MIN_IMAGE_SIZE
  if window is not None and min(window) < least:
    raise errors.UserError(
      f"evaluation.window={window} must be at least {least} pixels down and "
      f"across: the network's last map is {least} times smaller. Enlarge it, "
      "or leave it out for whole images."
    )


def _plain(value: Any) -> Any:
  return tuple(value) if isinstance(value, list | tuple) else value
