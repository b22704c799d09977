"""Tables in Markdown of the GPU benchmark's rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_OF_CONVS = ("direction", "copy_gb_per_second")

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def page(
  about: Mapping[str, Any], states: Mapping[str, str], rows: Rows
) -> str:
  """Returns all tables but profiles.

  Args:
    about: of the machine.
    states: how each part has gone.
    rows: of each part.
  """
  lines = [f"{name}: {value}" for name, value in about.items()]
  lines = ["```", *lines, "```", ""]
  lines += [f"- {part}: {state}" for part, state in states.items()]
  every = [row for part in rows for row in rows[part]]
  models = [row for row in every if "mode" in row]
  convs = [row for row in every if not row.keys().isdisjoint(_OF_CONVS)]
  for title, table in (
    ("Whole networks", _models(models)),
    ("Errors against float64", _errors(rows.get("correctness", ()))),
    ("Depthwise convolutions, microseconds", _convolutions(convs)),
    ("Tests", [str(row["summary"]) for row in rows.get("tests", ())]),
  ):
    lines += ["", f"## {title}", "", *(table or ["Nothing."])]
  return "\n".join(lines) + "\n"


def profiles(rows: Rows) -> str:
  """Returns the profiles' tables."""
  lines = ["# A training step by kernel, milliseconds a step", ""]
  for part in rows:
    for row in rows[part]:
      if row.get("mode") == "profile" and "groups" in row:
        lines += _profile(row)
  return "\n".join(lines) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
  cells = [header, ["---"] * len(header), *rows]
  found = ["| " + " | ".join(map(_cell, row)) + " |" for row in cells]
  return found if len(found) > 2 else []


def _cell(value: Any) -> str:
  """Returns a cell's text; a long one would tear the table."""
  return str(value).replace("|", "/").replace("\n", " ")[:120]


def _models(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns rates, and each over the best of PyTorch's of its kind."""
  latest = {_key(row): row for row in rows if row["mode"] != "profile"}
  best: dict[Any, float] = {}
  for row in latest.values():
    if row["name"].startswith("torch") and "images_per_second" in row:
      race = _race(row)
      best[race] = max(best.get(race, 0), row["images_per_second"])
  header = ("network", "dtype", "mode", "what", "batch", "images/s")
  header += ("over PyTorch's best", "ms a run", "GB", "compiled in, s")
  table = []
  for row in latest.values():
    start = [row["model"], row["dtype"], row["mode"], row["name"]]
    if "error" in row:
      table.append([*start, row["error"], *[""] * 5])
      continue
    rate, theirs = row["images_per_second"], best.get(_race(row))
    milliseconds = row["milliseconds"]
    spread = f"{min(milliseconds):.1f} - {max(milliseconds):.1f}"
    finite = "" if row["finite"] else " NOT FINITE"
    table.append(
      [
        *start,
        row["batch"],
        f"{rate}{finite}",
        f"{rate / theirs:.2f}" if theirs else "",
        spread,
        f"{row['peak_bytes'] / 1e9:.2f}" if "peak_bytes" in row else "",
        row.get("compile_seconds", ""),
      ]
    )
  return _table(header, table)


def _key(row):
  return (*_race(row), row["name"])


def _race(row):
  return row["model"], row["dtype"], row["mode"]


def _errors(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns the wrong ones one by one, and of the right ones the worst."""
  header = ("what", "dtype", "by", "forward", "gradients", "")
  found, right = [], {}
  for row in rows:
    start = [row["case"], row["dtype"], row["name"]]
    if "error" in row:
      found.append([*start, "FAILED", row["error"], ""])
      continue
    numbers = [f"{row['forward']:.1e}", f"{max(row['gradients']):.1e}"]
    if not row["right"] or "logits" in row["case"]:
      verdict = "right" if row["right"] else "WRONG"
      found.append([*start, *numbers, f"{verdict} {row.get('worst', '')}"])
    else:
      kind = row["case"].split(" (")[0].split(",")[0]
      right.setdefault((kind, *start[1:]), []).append(row)
  for key, group in sorted(right.items()):
    forward = max(row["forward"] for row in group)
    gradients = max(max(row["gradients"]) for row in group)
    verdict = f"all of {len(group)} right"
    found.append([*key, f"{forward:.1e}", f"{gradients:.1e}", verdict])
  return _table(header, found)


def _convolutions(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns a line for each shape and direction, a column for each name."""
  measured = [row for row in rows if "direction" in row]
  names = list(dict.fromkeys(row["name"] for row in measured))
  cases: dict[Any, dict[str, Any]] = {}
  for row in measured:
    case = tuple(
      row[key] for key in ("height", "channels", "taps", "dilation", "dtype")
    )
    group = cases.setdefault((*case, row["direction"]), {})
    group[row["name"]] = row.get("microseconds", "failed")
    group.setdefault("floor", row["floor_us"])
  lines = [
    f"A copy by {row['name']}: {row['copy_gb_per_second']} GB/s, both ways."
    for row in rows
    if "copy_gb_per_second" in row
  ]
  header = ("H = W", "C", "k", "d", "dtype", "direction", "floor", *names)
  table = [
    [*case, group["floor"], *(group.get(name, "") for name in names)]
    for case, group in cases.items()
  ]
  if table:
    lines += ["", *_table(header, table), *_faster(measured)]
  return lines


def _faster(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """Returns for what pallas_gpu is faster than XLA's, all directions together.

  As `van_jax/ops/gpu/proven.py` writes a shape; whether it is right there, the
  table of errors says.
  """
  found: dict[Any, dict[str, list[float]]] = {}
  for row in rows:
    shape = tuple(row[k] for k in ("height", "channels", "taps", "dilation"))
    group = found.setdefault((*shape, row["dtype"]), {})
    taken = row.get("microseconds", float("inf"))
    group.setdefault(row["name"], []).append(taken)
  lines = []
  for shape, group in found.items():
    ours, xla = group.get("pallas_gpu", []), group.get("xla", [])
    if len(ours) == len(xla) == 3 and sum(ours) < sum(xla):
      ratio = sum(xla) / sum(ours)
      lines.append(f"    Shape{shape},  # {ratio:.2f} times")
  return ["", "pallas_gpu is faster than xla for", "", *lines] if lines else []


def _profile(row: Mapping[str, Any]) -> list[str]:
  """Returns one step's groups, parts and longest kernels."""
  whole = row["device_ms"]
  title = f"{row['model']}, {row['dtype']}, {row['name']}: {whole} ms"
  lines = [f"## {title}", ""]
  for kind in ("groups", "parts"):
    times = row[kind].items()
    shares = [[n, ms, f"{100 * ms / whole:.1f} %"] for n, ms in times]
    lines += [*_table((kind, "ms", "of the step"), shares), ""]
  header = ("kernel", "ms", "calls", "group")
  return [*lines, *_table(header, row["kernels"]), ""]
