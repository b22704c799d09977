"""Our depthwise convolutions against XLA's, for every shape of the models.

  python -m van_jax.ops.check [--models=van_b0,van_b1] [--batch=8] [--rounds=5]

Prints a table in Markdown, to paste into an issue: by how much results and
gradients differ, and the milliseconds of both, which take turns. Speeds of a
CPU's XLA are slow: all models take a while there.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import jax

from van_jax import errors, models
from van_jax.ops import trust

_HEADER = (
  "| H = W | C | k | d | | differs by | ours, ms | XLA's, ms | XLA's / ours |"
)


def shapes(
  names: Sequence[str], image_size: int = 224
) -> list[tuple[int, int, int, int]]:
  """Returns each (height = width, channels, taps, dilation) once.

  Args:
    names: of models.
    image_size: pixels a side of the images.

  Raises:
    UserError: on a name that is no model's.
  """
  found = set()
  for name in names:
    model = models.create_model(name)
    height = image_size
    for s, (width, ratio) in enumerate(
      zip(model.widths, model.ffn_ratios, strict=True)
    ):
      height = -(-height // (2 if s else 4))
      found |= {
        (height, width, 5, 1),
        (height, width, 7, 3),
        (height, int(width * ratio), 3, 1),
      }
  return sorted(found, reverse=True)


def rows(case: trust.Case, implementation: str, rounds: int) -> list[str]:
  """Returns the table's rows of a case: forward, and all gradients."""
  found = trust.differences(case, implementation)
  numbers = (case.shape[1], case.shape[3], case.taps, case.dilation)
  start = "| " + " | ".join(map(str, numbers))
  lines = []
  for direction, kinds in (
    ("forward", trust.KINDS[:1]),
    ("backward", trust.KINDS[1:]),
  ):
    wrong = any(
      not trust.is_close(case, found[kind][0], found[kind][-1])
      for kind in kinds
    )
    worst = max(found[kind][0] / found[kind][-1] for kind in kinds)
    ours, xla = _milliseconds(case, (implementation, "xla"), direction, rounds)
    lines.append(
      f"{start} | {direction} | {worst:.1e}{' WRONG' if wrong else ''} | "
      f"{ours:.3f} | {xla:.3f} | {xla / ours:.2f} |"
    )
  return lines


def _milliseconds(case, implementations, direction, rounds) -> list[float]:
  """Returns the medians of each implementation; they take turns."""
  arrays = case.arrays()
  programs = [_program(case, name, direction) for name in implementations]
  seconds: list[list[float]] = [[] for _ in programs]
  for turn in range(rounds + 1):
    for taken, program in zip(seconds, programs, strict=True):
      start = time.perf_counter()
      jax.block_until_ready(program(*arrays))
      if turn:  # The first one compiles.
        taken.append(time.perf_counter() - start)
  return [1e3 * statistics.median(taken) for taken in seconds]


def _program(case, implementation, direction) -> Callable[..., object]:
  def run(*arrays):
    if direction == "forward":
      return case.convolve(implementation, *arrays[:3])
    return case.results(implementation, arrays)[1:]

  return jax.jit(run)


def main(argv: Sequence[str] | None = None) -> None:
  """Prints the table of the models named in argv, of all of them if none."""
  parser = argparse.ArgumentParser(
    prog="python -m van_jax.ops.check",
    description="Compares our depthwise convolutions with XLA's.",
  )
  known = ",".join(models.list_models())
  parser.add_argument("--models", default=known, help=f"some of {known}")
  parser.add_argument("--batch", type=int, default=8, help="images")
  parser.add_argument("--rounds", type=int, default=5, help="turns of each")
  parser.add_argument(
    "--image_size", type=int, default=224, help="pixels a side; default 224"
  )
  parser.add_argument(
    "--dtype",
    choices=("float32", "bfloat16"),
    default="float32",
    help="of the maps",
  )
  flags = parser.parse_args(argv)
  platform = trust.platform_here()
  if platform not in trust.KERNELS:
    parser.error(
      f"there are no kernels of ours for {platform}, but for "
      f"{' and '.join(trust.KERNELS)}: 'auto' is XLA's there."
    )
  if min(flags.batch, flags.rounds) < 1:
    parser.error("--batch and --rounds must be at least 1.")
  try:
    found = shapes(flags.models.split(","), flags.image_size)
  except errors.UserError as error:
    parser.error(str(error))
  implementation = trust.KERNELS[platform]
  print(
    f"{implementation} on {jax.devices()[0].device_kind}, JAX "
    f"{jax.__version__}, batch {flags.batch}, {flags.dtype}\n"
  )
  print(_HEADER)
  print("|---" * 9 + "|", flush=True)
  for size, channels, taps, dilation in found:
    shape = (flags.batch, size, size, channels)
    case = trust.Case(shape, taps, dilation, flags.dtype)
    print("\n".join(rows(case, implementation, flags.rounds)), flush=True)


if __name__ == "__main__":
  main()
