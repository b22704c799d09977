"""Processes by their indices, in words."""

from collections.abc import Collection


def listed(indices: Collection[int]) -> str:
  """Returns "process 3", or "processes 0, 2-5 and 9"."""
  runs: list[list[int]] = []
  for i in sorted(indices):
    if runs and runs[-1][1] == i - 1:
      runs[-1][1] = i
    else:
      runs.append([i, i])
  words = []
  for first, last in runs:
    words += [f"{first}-{last}"] if last > first + 1 else []
    words += (
      [str(i) for i in range(first, last + 1)] if last < first + 2 else []
    )
  *before, final = words
  names = f"{', '.join(before)} and {final}" if before else final
  return f"process{'es' if len(indices) > 1 else ''} {names}"
