"""The door to matplotlib: an empty figure, and a figure as a file."""

import io
import os
from typing import Any

import numpy as np

from van_jax import errors, places, storage

KINDS = (".png", ".svg", ".pdf")
DPI = 120  # Of files; figures are measured in inches.


def figure(width: float, height: float) -> Any:
  """Returns an empty matplotlib Figure of that size, in inches.

  Raises:
    UserError: where there is no matplotlib.
  """
  try:
    from matplotlib.figure import Figure
  except ImportError as error:
    raise errors.UserError(
      "pictures are drawn by matplotlib, which is not installed; "
      'pip install "van_jax[notebooks]" brings it.'
    ) from error
  return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def colours(name: str, values: Any) -> Any:
  """Returns a colour map's colours of values in [0, 1], [..., 3] in [0, 1]."""
  figure(1, 1)  # Or a lack of matplotlib would be no UserError.
  import matplotlib

  return np.asarray(matplotlib.colormaps[name](values))[..., :3]


def check_output(path: str, *, overwrite: bool = False) -> None:
  """Raises UserError unless a picture may be written there; writes nothing.

  Args:
    path: as the user gave it.
    overwrite: whether it may be there already.
  """
  places.check_file(path, "output", kinds=KINDS, overwrite=overwrite)
  figure(1, 1)


def save(figure: Any, path: str | os.PathLike[str]) -> None:
  """Writes a figure as PNG, SVG or PDF, as its name ends; it may be there.

  Raises:
    UserError: for a name that ends otherwise.
  """
  check_output(os.fspath(path), overwrite=True)
  kind = os.fspath(path).lower().rpartition(".")[2]
  content = io.BytesIO()
  figure.savefig(content, format=kind)
  with storage.replacing(path) as draft:
    draft.write_bytes(content.getvalue())


def shortened(name: str, length: int = 24) -> str:
  """Returns a name that fits beside a picture."""
  name = " ".join(str(name).split())
  return name if len(name) <= length else f"{name[: length - 1]}…"
