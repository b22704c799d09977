"""Colours and dashes that tell runs apart, for readers who see few colours.

They were searched for: as far apart in CIE Lab as six can be to eyes without
any one kind of cone, each dark (or light) enough to be a thin line on the page.
From the seventh run on lines are dashed as well.
"""

# Of a page that is light, and of one that is dark.
LIGHT = ("#1136af", "#e60029", "#008d66", "#c14a97", "#466a12", "#3c3c3c")
DARK = ("#5c8aff", "#ff5a48", "#24e095", "#bd80a2", "#ffe35a", "#d0eef8")
LIGHT_PAGE, DARK_PAGE = "#ffffff", "#16181d"
# In pixels of the screen: drawn, left out, and so on.
_DASHES = ("none", "7 4", "2 4", "10 3 2 3", "14 5", "2 3 2 8")


def colour(run: int) -> str:
  """Returns the name of a run's colour, as CSS knows it."""
  return f"var(--run{run % len(LIGHT)})"


def dash(run: int) -> str:
  """Returns the dashes of a run's lines: none of the first six."""
  return _DASHES[run // len(LIGHT) % len(_DASHES)]


def css(colours: tuple[str, ...]) -> str:
  """Returns the declarations of the runs' colours."""
  return "".join(f"--run{i}:{value};" for i, value in enumerate(colours))
