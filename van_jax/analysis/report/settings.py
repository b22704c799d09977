"""What the runs' configs do not share, or what one changed of the defaults."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from van_jax.analysis.report import legend
from van_jax.analysis.report.markup import Markup, element, joined
from van_jax.analysis.report.runs import Run
from van_jax.analysis.report.tables import table

_ABSENT = "-"


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
  """Returns the dotted keys whose values are not the same in all configs.

  Args:
    configs: nested dicts of plain JSON values.

  Returns:
    by key, its value in each config as JSON; a dash where it is absent.
  """
  flat = [_flat(config) for config in configs]
  keys = sorted({key for config in flat for key in config})
  values = {key: [config.get(key, _ABSENT) for config in flat] for key in keys}
  return {key: found for key, found in values.items() if len(set(found)) > 1}


def section(runs: Sequence[Run], default: Mapping[str, Any]) -> Markup:
  """Returns the section of settings.

  Args:
    runs: of the page.
    default: the config that a single run is compared with.
  """
  readable = [run for run in runs if run.config]
  if not readable:
    return element("p", "No run has a config that can be read.")
  if len(runs) == 1:
    found = differences([default, runs[0].config])
    what, head = "what differs from configs/default.py", ["default", "run"]
  else:
    found = differences([run.config for run in readable])
    what = "keys that differ"
    head = [
      legend.mark(number, run.name)
      for number, run in enumerate(runs)
      if run.config
    ]
  shared = len(_flat(readable[0].config)) - len(found)
  if not found:
    return element("p", f"The same in all {shared} keys.")
  lines = [
    [element("code", key), *(element("code", value) for value in values)]
    for key, values in found.items()
  ]
  lines = [["key", *head], *lines]
  if len(runs) > 1 and len(head) >= len(
    lines
  ):  # More runs than keys: a line a run.
    lines = [list(column) for column in zip(*lines, strict=True)]
    lines[0][0] = "run"
  return joined(
    table(lines[0], lines[1:], caption=f"Config: {what}"),
    element(
      "p", f"All other keys ({max(shared, 0)}) are the same.", class_="note"
    ),
  )


def _flat(tree: Mapping[str, Any], before: str = "") -> dict[str, str]:
  """Returns the values of a nested dict as JSON, by dotted keys."""
  flat: dict[str, str] = {}
  for key, value in tree.items():
    if isinstance(value, Mapping):
      flat |= _flat(value, f"{before}{key}.")
    else:
      flat[f"{before}{key}"] = json.dumps(value, ensure_ascii=False)
  return flat
