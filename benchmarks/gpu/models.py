"""Whole networks on a GPU: ours and PyTorch's, in turns.

  python -m benchmarks.gpu.models --models=van_b0,van_b2 --dtype=bfloat16

Every contestant is a process. All start at once: torch.compile and the tracing
of ours take CPUs. Then, after a line of standard input, one model after the
other: ours are compiled one by one, all others standing still, so that XLA's
autotuning has the device for itself, and each takes turns with PyTorch's, which
give their memory back after each turn; XLA's pool goes back when its process
ends. Where both do not fit, ours goes first and leaves. A contestant for which
the batch is too large even so takes half of it, and its row says so. Processes
of the next model stand still meanwhile. Emits a row a measurement, and one a
profile.
"""

import argparse
import sys

from benchmarks.gpu.contestants import paused
from benchmarks.gpu.race import Race


def main() -> None:
  """Runs the models that are named."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--models", default="van_b0,van_b2")
  parser.add_argument("--dtype", default="bfloat16")
  parser.add_argument("--batch", type=int, default=256)
  parser.add_argument("--size", type=int, default=224, help="pixels a side")
  parser.add_argument(
    "--jax",
    default="auto",
    help="implementations; auto:FLAG=VALUE has that of XLA's",
  )
  parser.add_argument("--torch", default="eager,compiled", help="styles")
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--turn_seconds", type=float, default=0.6)
  parser.add_argument("--compile_limit", type=float, default=100)
  parser.add_argument("--run_limit", type=float, default=40)
  parser.add_argument("--traces", default="build/gpu_cache/traces")
  parser.add_argument("--small", action="store_true", help="tiny networks")
  options = parser.parse_args()
  races = [Race(options, model) for model in options.models.split(",")]
  sys.stdin.readline()
  for i, race in enumerate(races):
    others = [c for other in races[i + 1 :] for c in other.ours + other.theirs]
    race.prepare(others)
    with paused(others):
      race.run()


if __name__ == "__main__":
  main()
