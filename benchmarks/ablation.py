"""What each part of large kernel attention does, on photographs: 12 x 3 runs.

  python -m benchmarks.ablation --data=FOLDER --output=DIR
  python -m benchmarks.ablation --data=FOLDER --output=DIR --task=classes

FOLDER holds train/CLASS and test/CLASS with image files of any size, CIFAR-10's
say. A small VAN is trained for each of `ROWS` and each seed. What is done is
kept in DIR, and the same command goes on where it was stopped. It then prints a
table, and writes it to DIR as ablation.md and ablation.csv: top-1 of each row,
its spread over the seeds, and how far it is from VAN's own attention, in
standard errors of that difference. With three seeds a row and no other in mind,
2.8 of them tell the two apart (5 %, four degrees of freedom); for the farthest
of eleven rows it takes 5.7 (Bonferroni).

`pairs` needs a long range, as photographs of 32 pixels do not: two of them, 16
pixels each, in opposite corners of a grey image of 64, are views of the same
photograph or not. `classes` is which class folder a photograph of 32 pixels is
from. Neither says anything of ImageNet: what is known there is the paper's.
"""

import argparse
import csv
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import photograph_tasks
from van_jax import errors, lab, models
from van_jax.analysis.complexity import complexity

# Table 3 but for the dense convolution, which costs thirty times as much;
# Table 6; and the attentions that came later. The first is VAN's own.
ROWS = (
  "van_b0",
  "w_o_dw",
  "w_o_dw_d",
  "w_o_attention",
  "add",
  "w_o_1x1",
  "sigmoid",
  "k7_d2",
  "k14_d3",
  "k28_d4",
  "lska23",
  "msca",
)
NETWORK = {
  "widths": (16, 32, 48, 64),
  "depths": (1, 1, 1, 1),
  "ffn_ratios": (4, 4, 4, 4),
}
RECIPE = {
  "batch_size": 64,
  "learning_rate": 2e-3,
  # Any of these would blur what is to be compared.
  "without": ("augmentation", "mixing", "label_smoothing", "erasing"),
  "eval_every_epochs": math.inf,
}


def network(name: str, num_classes: int) -> models.VAN:
  """Returns the small network of a row."""
  return models.create_ablation(name, num_classes=num_classes, **NETWORK)


def train(
  rows: Mapping[str, models.VAN],
  examples: photograph_tasks.Examples,
  evaluation: photograph_tasks.Examples,
  *,
  seeds: int,
  epochs: float,
  folder: str | os.PathLike[str],
) -> lab.Sweep:
  """Trains each network with each seed; what the folder has is not done again.

  Args:
    rows: networks by the names of their rows.
    examples: to train on.
    evaluation: to score, at the end of each training.
    seeds: of each row.
    epochs: of each training.
    folder: of this sweep alone.
  """
  return lab.sweep(
    rows,
    examples,
    evaluation=evaluation,
    seeds=seeds,
    folder=folder,
    epochs=epochs,
    **RECIPE,
  )


def compared(sweep: Any, costs: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Returns a record a row: scores in percent, and what tells it apart.

  Args:
    sweep: of `lab.sweep`.
    costs: the `Complexity` of each row.
  """
  scores = {name: 100 * sweep.scores(name) for name in sweep.variants}
  first = next(iter(scores.values()))
  return [
    {
      "row": name,
      "params": costs[name].params,
      "mega_flops": round(costs[name].flops / 1e6, 3),
      "runs": len(own),
      "top1": own.mean() if len(own) else math.nan,
      "spread": own.std(ddof=1) if len(own) > 1 else math.nan,
      "apart": math.nan if own is first else welch(own, first),
    }
    for name, own in scores.items()
  ]


def welch(own: np.ndarray, first: np.ndarray) -> float:
  """Returns the difference of two means over its standard error."""
  if min(len(own), len(first)) < 2:
    return math.nan
  variance = own.var(ddof=1) / len(own) + first.var(ddof=1) / len(first)
  difference = float(own.mean() - first.mean())
  return difference / math.sqrt(variance) if variance else math.nan


def table(records: Sequence[Mapping[str, Any]]) -> str:
  """Returns the records as a table in Markdown."""
  return "\n".join(
    [
      "| row | parameters | MFLOPs | runs | top-1, mean | spread | standard "
      f"errors from {records[0]['row']} |",
      "|---|---|---|---|---|---|---|",
      *(
        "| {row} | {params:,} | {mega_flops:.2f} | {runs} | {top1:.2f} | "
        "{spread:.2f} | {apart:+.1f} |".format(**record).replace("+nan", "-")
        for record in records
      ),
    ]
  )


def write(
  folder: pathlib.Path, heading: str, records: Sequence[Mapping[str, Any]]
) -> None:
  """Writes ablation.csv and ablation.md, and prints the latter."""
  with (folder / "ablation.csv").open("w", newline="") as file:
    writer = csv.DictWriter(file, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
  text = f"{heading}\n\n{table(records)}\n"
  (folder / "ablation.md").write_text(text)
  print(text)


def main(argv: Sequence[str] | None = None) -> None:
  """Trains what is not in the folder yet, and writes the table of all."""
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.ablation",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add("--data", type=pathlib.Path, required=True, help="folder around splits")
  add("--output", type=pathlib.Path, required=True, help="folder to go on in")
  add("--task", choices=photograph_tasks.TASKS, default="pairs")
  add(
    "--rows", nargs="+", default=ROWS, choices=models.ABLATIONS, metavar="ROW"
  )
  add("--seeds", type=int, default=3)
  add("--train", type=int, default=12_000, help="examples to train on")
  add("--test", type=int, default=5_000, help="examples of each evaluation")
  add("--epochs", type=float, default=5.0)
  flags = parser.parse_args(argv)
  task = photograph_tasks.TASKS[flags.task]
  try:
    examples, evaluation = (
      task.make(photographs, count, seed)
      for seed, (photographs, count) in enumerate(
        zip(
          photograph_tasks.read_splits(flags.data, task.photograph),
          (flags.train, flags.test),
          strict=True,
        )
      )
    )
    num_classes = int(examples[1].max()) + 1
    rows = {name: network(name, num_classes) for name in flags.rows}
    sweep = train(
      rows,
      examples,
      evaluation,
      seeds=flags.seeds,
      epochs=flags.epochs,
      folder=flags.output,
    )
  except errors.UserError as error:
    parser.error(str(error))
  side = examples[0].shape[1]
  heading = (
    f"Task {flags.task!r} of {flags.data.name}: {len(examples[0]):,} examples "
    f"of {side} x {side} pixels, {flags.epochs:g} epochs; top-1 (%) of "
    f"{len(evaluation[0]):,} examples of other photographs, {num_classes} "
    "classes."
  )
  costs = {name: complexity(model, side) for name, model in rows.items()}
  write(flags.output, heading, compared(sweep, costs))


if __name__ == "__main__":
  main()
