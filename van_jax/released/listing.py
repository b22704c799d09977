"""What there is to load by name, as a table that prints well."""

from typing import NamedTuple

from van_jax.released import table


class Pretrained(NamedTuple):
  """One line of `list_pretrained()`.

  Attributes:
    name: for `load_pretrained`; a shorter one is in `short`.
    short: the word that stands for it too, or "".
    top1: published, on ImageNet-1k's validation set, percent; None for none.
    top5: the same.
    image_size: pixels a side.
    data: what it was trained on.
    format: of the file.
    address: of the file.
  """

  name: str
  short: str
  top1: float | None
  top5: float | None
  image_size: int
  data: str
  format: str
  address: str


class Listing(tuple[Pretrained, ...]):
  """Rows, which print as a table; the addresses, long ones, are left out."""

  __slots__ = ()

  def __repr__(self) -> str:
    rows = [[_cell(v) for v in row[:-1]] for row in (Pretrained._fields, *self)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
      "  ".join(
        cell.ljust(width) for cell, width in zip(row, widths, strict=True)
      ).rstrip()
      for row in rows
    )


def list_pretrained() -> Listing:
  """Returns the weights that `load_pretrained` knows, with published scores.

  print(van_jax.list_pretrained())
  names = [row.name for row in van_jax.list_pretrained()]
  """
  short = {full: word for word, full in table.DEFAULTS.items()}
  return Listing(
    Pretrained(
      name,
      short.get(name, ""),
      row.top1,
      row.top5,
      row.image_size,
      row.data,
      row.format,
      row.address,
    )
    for name, row in table.ROWS.items()
  )


def _cell(value: object) -> str:
  if isinstance(value, float):
    return f"{value:.2f}"
  return "-" if value is None else str(value)
