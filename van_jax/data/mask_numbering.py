"""How the numbers in a data set's masks name classes."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from van_jax import errors
from van_jax.data import arguments

VOID = 255  # In batches: a pixel that teaches and scores nothing.
_WRONG = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskNumbering:
  """What a mask's numbers mean; a split that has one hands out masks.

  Attributes:
    num_classes: K, 1 to 255, or to 254 with `reduce_zero_label`; batches have
      0 to K - 1, and 255 for void.
    reduce_zero_label: whether 0 is void and class k is written as k + 1, as in
      ADE20K.
    ignore_index: a number that is void too, as it is written, and no class's;
      255 always is.
    allow_void: whether a mask may be void all over; else that is an error.
  """

  num_classes: int
  reduce_zero_label: bool = False
  ignore_index: int = VOID
  allow_void: bool = False

  def __post_init__(self):
    arguments.check_whole("data.options.num_classes", self.num_classes, 1)
    arguments.check_whole("data.options.ignore_index", self.ignore_index, 0)
    for name, value, most in (
      ("num_classes", self.num_classes, VOID),
      ("ignore_index", self.ignore_index, 255),
    ):
      if value > most:
        raise errors.UserError(
          f"data.options.{name}={value} must be at most {most}: masks have 8 "
          "bits a pixel, and 255 is void."
        )
    for name in ("reduce_zero_label", "allow_void"):
      arguments.check_bool(getattr(self, name), f"data.options.{name}")
    self._check_void()

  def _check_void(self) -> None:
    """Raises UserError where a class is written as a number that is void."""
    first = int(self.reduce_zero_label)
    last = first + self.num_classes - 1
    if last == VOID:  # 255 classes from 1 on.
      raise errors.UserError(
        f"data.options.num_classes={self.num_classes} must be at most "
        f"{VOID - 1} with data.options.reduce_zero_label=True: class {VOID - 1}"
        f" would be written as {VOID}, which is void; merge classes."
      )
    if first <= self.ignore_index <= last:
      raise errors.UserError(
        f"data.options.ignore_index={self.ignore_index} must be none of the "
        f"numbers {first} to {last} that the data.options.num_classes="
        f"{self.num_classes} classes are written as; class "
        f"{self.ignore_index - first} would never be there. Name another "
        "number, or leave that class out of the masks and the names."
      )

  def table(self) -> np.ndarray:
    """Returns what each written number is in a batch, or -1; int16 [256]."""
    table = np.full(256, _WRONG, np.int16)
    first = 1 if self.reduce_zero_label else 0
    table[first : first + self.num_classes] = np.arange(self.num_classes)
    if self.reduce_zero_label:
      table[0] = VOID
    table[[self.ignore_index, VOID]] = VOID
    return table

  def written(self) -> np.ndarray:
    """Returns what each class is written as, uint8 [K + 1]; the last is void.

    That is the number of pixels that have no class.
    """
    first = 1 if self.reduce_zero_label else 0
    void = 0 if self.reduce_zero_label else VOID
    numbers = np.arange(first, first + self.num_classes)
    return np.append(numbers, void).astype(np.uint8)

  def complaint(self, mask: np.ndarray) -> str | None:
    """Returns what is wrong with a mask's numbers, uint8 [H, W]; or None."""
    return self.complaint_of(np.bincount(mask.reshape(-1), minlength=256))

  def complaint_of(self, counts: np.ndarray) -> str | None:
    """Returns the same from how often each number comes, [256]."""
    table = self.table()
    found = np.flatnonzero(counts)
    wrong = found[table[found] == _WRONG]
    if len(wrong):
      first = 1 if self.reduce_zero_label else 0
      return (
        f"its mask has the number {wrong[-1]}, and must have {first} to "
        f"{first + self.num_classes - 1}, the {self.num_classes} classes, or a "
        f"void one ({_listed(np.flatnonzero(table == VOID))}); say what there "
        "is by data.options.class_names (or num_classes), ignore_index and "
        "reduce_zero_label, or mend the mask"
      )
    if not self.allow_void and (table[found] == VOID).all():
      return (
        f"its mask is void all over ({_listed(found)}), which teaches and "
        "scores nothing; look at data.options.ignore_index and "
        "reduce_zero_label, or allow it by data.options.allow_void=True"
      )
    return None


def _listed(numbers: Sequence[int] | np.ndarray) -> str:
  return ", ".join(map(str, numbers))
