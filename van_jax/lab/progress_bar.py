"""A bar that says how far a training has come, in terminal and notebook."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

_SHOWN = {"train/loss": "loss", "train/top1": "top1", "eval/top1": "eval top1"}


class Bar(NamedTuple):
  """What a loop tells.

  Attributes:
    start: takes a step that starts, counted from 1.
    note: takes scalars by name.
  """

  start: Callable[[int], None]
  note: Callable[[Mapping[str, float]], None]


@contextlib.contextmanager
def opened(
  total_steps: int, *, title: str, shown: bool | None
) -> Iterator[Bar]:
  """Yields the bar; it is full when the context ends well.

  Args:
    total_steps: of the training.
    title: stands before it.
    shown: None for in a terminal or a notebook alone.
  """
  if not (is_watched() if shown is None else shown):
    yield Bar(lambda step: None, lambda scalars: None)
    return
  from tqdm import auto  # Slow to import.

  noted: dict[str, str] = {}
  with auto.tqdm(total=total_steps, desc=title or None, unit="step") as bar:

    def note(scalars):
      noted.update(
        {
          name: f"{scalars[key]:.4g}"
          for key, name in _SHOWN.items()
          if key in scalars
        }
      )
      bar.set_postfix(noted, refresh=False)

    yield Bar(lambda step: _advance(bar, step - 1), note)
    _advance(bar, total_steps)


def is_watched() -> bool:
  """Returns whether somebody may be watching: a terminal, or a notebook."""
  get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
  in_notebook = get_ipython is not None and hasattr(get_ipython(), "kernel")
  return in_notebook or sys.stderr.isatty()


def _advance(bar, step: int) -> None:
  bar.update(step - bar.n)
