"""The dry runs of docs/pods.md: what fits where, and what it exchanges.

  python benchmarks/dry_runs.py --output=build/dry_runs
  python benchmarks/dry_runs.py --output=build/dry_runs --write

The first compiles what is not in the folder yet, one run after another, minutes
and gigabytes each (--list shows them, --only=van_b0 takes those whose name has
that); it may be stopped, and goes on where it was. The second puts what is
there into docs/pods.md as a table, and draws docs/dry_runs.svg, for which
matplotlib must be installed. All in bfloat16, with configs/imagenet1k.py as it
is otherwise: groups of 128 images for BatchNorm and mixing.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
PODS = ROOT / "docs" / "pods.md"
PICTURE = ROOT / "docs" / "dry_runs.svg"
BEGIN = "<!-- dry runs: benchmarks/dry_runs.py --write -->"
END = "<!-- end of dry runs -->"
_HEAD = (
  "| topology | model | batch | compile s | arguments / temporaries / peak, "
  "MB a chip | collectives, MB a step | images/s, estimate | fits |"
)
_MB = 1e6
_PATIENCE = 4 * 3600.0  # Seconds, for B6 on few cores.
_DOES_NOT_FIT = 1  # Exit status of a dry run; an error has it too.


class Run(NamedTuple):
  """A dry run.

  Attributes:
    topology: as --dry_run takes it.
    model: variant of configs/imagenet1k.py.
    batch_size: images an update.
  """

  topology: str
  model: str
  batch_size: int

  @property
  def name(self) -> str:
    """Of its file."""
    topology = self.topology.replace(":", "-")
    return f"{self.model}_{self.batch_size}_{topology}"


CURVE = tuple(  # One batch on ever more chips.
  Run(f"v5e:{shape}", "van_b0", 1024)
  for shape in ("2x2", "4x4", "8x8", "16x16")
)
RUNS = (
  *(
    Run("v5e:16x16", f"van_b{size}", batch_size)
    for batch_size in (1024, 4096)
    for size in range(5)
  ),
  Run("v4:4x4x4", "van_b0", 1024),
  Run("v5p:4x4x4", "van_b0", 1024),
  Run("v6e:8x8", "van_b0", 1024),
  Run("h100:8", "van_b0", 1024),
  *CURVE[:-1],
  Run("v5e:16x16", "van_b5", 1024),
  Run("v5e:16x16", "van_b6", 1024),
)


def main(arguments: list[str] | None = None) -> None:
  """Compiles what is missing, or writes what is there."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--output", type=pathlib.Path, required=True)
  parser.add_argument("--only", default="", help="runs whose name has this")
  parser.add_argument("--list", action="store_true", help="names, and stop")
  parser.add_argument("--write", action="store_true", help="into docs/")
  flags = parser.parse_args(arguments)
  runs = [run for run in RUNS if flags.only in run.name]
  if not runs:
    parser.exit(1, f"error: --only={flags.only} is in no run's name.\n")
  if flags.list:
    print(*(run.name for run in runs), sep="\n")
    return
  if not flags.write:
    compile_missing(runs, flags.output)
    return
  found = read(RUNS, flags.output)
  write_table(found)
  draw(found)


def compile_missing(runs: list[Run], folder: pathlib.Path) -> None:
  """Makes the dry runs whose file is not in the folder."""
  folder.mkdir(parents=True, exist_ok=True)
  for run in runs:
    path = folder / f"{run.name}.json"
    if path.exists():
      print(f"{run.name}: there", file=sys.stderr)
      continue
    print(f"{run.name} ...", file=sys.stderr, flush=True)
    report = dry_run(run)
    if report is None:
      print(f"{run.name}: failed; the others go on.", file=sys.stderr)
      continue
    part = path.with_suffix(".part")
    part.write_text(json.dumps(report))
    part.rename(path)


def dry_run(run: Run) -> dict[str, Any] | None:
  """Returns what train.py reports of a dry run; None of one that failed."""
  rate = 1e-3 * run.batch_size / 1024
  process = subprocess.run(
    [
      sys.executable,
      "train.py",
      f"--config=configs/imagenet1k.py:{run.model}",
      f"--dry_run={run.topology}",
      f"--config.batch_size={run.batch_size}",
      f"--config.schedule.learning_rate={rate}",
      "--config.model.dtype=bfloat16",
      f"--config.deadlines.compile_seconds={_PATIENCE}",
    ],
    stdout=subprocess.PIPE,
    text=True,
    cwd=ROOT,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
  )
  last = process.stdout.strip().rpartition("\n")[2]
  if process.returncode not in (0, _DOES_NOT_FIT) or not last.startswith("{"):
    return None
  return json.loads(last)


def read(
  runs: tuple[Run, ...], folder: pathlib.Path
) -> dict[Run, dict[str, Any]]:
  """Returns the reports that are in a folder, in the order of the runs."""
  paths = {run: folder / f"{run.name}.json" for run in runs}
  return {
    run: json.loads(path.read_text())
    for run, path in paths.items()
    if path.exists()
  }


def row(run: Run, report: dict[str, Any]) -> str:
  """Returns a run's line of the table; "-" for what nobody reports."""
  step = report["training"]
  memory = exchanged = speed = "-"
  if step["fits"]:
    names = ("argument_bytes", "temporary_bytes", "peak_bytes")
    memory = " / ".join(_megabytes(step[name]) for name in names)
    exchanged = f"{exchanged_bytes(report) / _MB:.1f}"
    if found := images_per_second(report):
      speed = f"{found:,.0f}"
  cells = (
    report["topology"],
    run.model.removeprefix("van_").upper(),
    f"{run.batch_size:,}",
    f"{step['compile_seconds']:.0f}",
    memory,
    exchanged,
    speed,
    "yes" if report["fits"] else "no",
  )
  return f"| {' | '.join(cells)} |"


def exchanged_bytes(report: dict[str, Any]) -> int:
  """Returns the bytes of all collectives of a training step."""
  return sum(found["bytes"] for found in report["training"]["collectives"])


def images_per_second(report: dict[str, Any]) -> float | None:
  """Returns the speed by the compiler's schedule, where it has one."""
  seconds = report["training"].get("seconds_by_schedule")
  return report["batch_size"] / seconds if seconds else None


def write_table(found: dict[Run, dict[str, Any]]) -> None:
  """Puts the table between its marks in docs/pods.md."""
  text = PODS.read_text()
  before, rest = text.split(BEGIN)
  _, after = rest.split(END)
  rows = (row(run, report) for run, report in found.items())
  columns = _HEAD.count("|") - 1
  lines = (BEGIN, _HEAD, "|---" * columns + "|", *rows, END)
  PODS.write_text(before + "\n".join(lines) + after)


def draw(found: dict[Run, dict[str, Any]]) -> None:
  """Draws the curve: speed, memory and exchange from 4 to 256 chips."""
  import matplotlib  # pyright: ignore[reportMissingImports]

  matplotlib.use("svg")
  matplotlib.rcParams["svg.hashsalt"] = "dry_runs"  # The same file each time.
  from matplotlib import pyplot  # pyright: ignore[reportMissingImports]

  reports = [found[run] for run in CURVE if run in found]
  reports = [report for report in reports if report["fits"]]
  if not reports:
    print("no run of the curve is there: nothing drawn.", file=sys.stderr)
    return
  chips = [report["chips"] for report in reports]
  figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4))
  speeds = [images_per_second(report) or float("nan") for report in reports]
  left.loglog(chips, speeds, "o-", label="by the compiler's schedule")
  ideal = [speeds[0] * count / chips[0] for count in chips]
  left.loglog(chips, ideal, ":", color="grey", label="in proportion")
  left.set(xlabel="chips (v5e)", ylabel="images/s, VAN-B0, batch 1,024")
  memory = [
    (report["training"]["temporary_bytes"] or float("nan")) / _MB
    for report in reports
  ]
  exchanged = [exchanged_bytes(report) / _MB for report in reports]
  right.loglog(chips, memory, "o-", label="temporaries, MB a chip")
  right.loglog(chips, exchanged, "s-", label="collectives, MB a step")
  right.set(xlabel="chips (v5e)")
  for axes in (left, right):
    axes.set_xticks(chips, [str(count) for count in chips])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
  figure.tight_layout()
  figure.savefig(PICTURE, metadata={"Date": None})


def _megabytes(number: int | None) -> str:
  return "-" if number is None else f"{number / _MB:,.0f}"


if __name__ == "__main__":
  main()
