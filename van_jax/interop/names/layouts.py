"""How the axes of one array are ordered here and in other projects."""

import dataclasses

import numpy as np

from van_jax import errors


@dataclasses.dataclass(frozen=True)
class Layout:
  """A permutation of axes, after the trailing ones of size 1 are dropped.

  Attributes:
    axes: foreign axes in our order.
    ones: foreign axes of size 1 at the end, which we do not have.
  """

  axes: tuple[int, ...]
  ones: int = 0

  def shape_here(self, foreign: tuple[int, ...]) -> tuple[int, ...]:
    """Returns our shape of an array of a foreign shape.

    Raises:
      UserError: if the foreign shape has other axes than the layout.
    """
    kept = len(foreign) - self.ones
    if kept != len(self.axes) or any(n != 1 for n in foreign[kept:]):
      raise errors.UserError(f"{foreign} has not the axes of {self}")
    return tuple(foreign[axis] for axis in self.axes)

  def shape_there(self, ours: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the foreign shape of an array of our shape."""
    back = tuple(ours[self.axes.index(axis)] for axis in range(len(ours)))
    return back + (1,) * self.ones

  def here(self, foreign: np.ndarray) -> np.ndarray:
    """Returns a foreign array in our order."""
    kept = foreign.reshape(foreign.shape[: foreign.ndim - self.ones])
    return kept.transpose(self.axes)

  def there(self, ours: np.ndarray) -> np.ndarray:
    """Returns an array of ours in the foreign order."""
    back = tuple(self.axes.index(axis) for axis in range(ours.ndim))
    return ours.transpose(back).reshape(self.shape_there(ours.shape))


OIHW = Layout((2, 3, 1, 0))  # torch's convolutions; ours are HWIO.
OI = Layout((1, 0))  # torch's linear layers; ours are [in, out].
IO = Layout((0, 1))
C = Layout((0,))
C11 = Layout((0,), ones=2)
