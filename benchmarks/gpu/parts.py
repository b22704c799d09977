"""The parts of the GPU benchmark: what runs, in what order, and for how long.

Seconds are for one H200 with 16 cores beside it, as we expect them: nothing
has been run yet. A part that is stopped leaves the rows that it has told.
"""

import dataclasses

_MINUTE = 60

# What `config.xla_flags` might say for a GPU, if it pays. The first is XLA's
# default; the last takes longest to compile.
FLAGS = (
  "xla_gpu_autotune_level=4",
  "xla_gpu_enable_command_buffer=",
  "xla_gpu_enable_triton_gemm=false",
  "xla_gpu_exhaustive_tiling_search=true",
)


@dataclasses.dataclass(frozen=True)
class Part:
  """One part.

  Attributes:
    name: in the results; what can be asked for.
    command: arguments of Python.
    limit: seconds after which it is stopped.
    least: seconds without which it is not begun.
    early: whether it is started when the part before it begins, and waits on
      its standard input for its turn: it compiles on CPUs meanwhile.
    log: file of its own for its output, in the results' folder; "" for the
      common one.
  """

  name: str
  command: tuple[str, ...]
  limit: float
  least: float
  early: bool = False
  log: str = ""


def parts(*, small: bool, implementations: str) -> list[Part]:
  """Returns all parts, the most telling first.

  Args:
    small: for a dry run on a CPU.
    implementations: of whole networks, "auto,pallas_gpu" say; the first is
      measured first.
  """
  models = ["-m", "benchmarks.gpu.models", f"--jax={implementations}"]
  convs = ["-m", "benchmarks.gpu.convs"]
  correct = ["-m", "benchmarks.gpu.correct"]
  tests = ["-m", "benchmarks.gpu.tests"]
  if small:
    tiny = ["--size=32", "--batch=4", "--turn_seconds=0.05", "--rounds=2"]
    # PyTorch's compiler needs one of C++ on a CPU.
    models += [*tiny, "--torch=eager", "--small", "--compile_limit=300"]
    models += ["--run_limit=300"]
    convs += ["--size=32", "--batch=2", "--most=2", "--seconds=0.01"]
    convs += ["--copy_bytes=1048576", "--threads=2", "--limit=200"]
    convs += ["--copies=2"]
    correct += ["--small", "--threads=2"]
    tests += ["--small"]
  long = 10 if small else 1
  return [
    Part("correctness", tuple(correct), long * 90, 20),
    Part(
      "models_bfloat16",
      (*models, "--dtype=bfloat16"),
      long * 210,
      40,
      early=True,
    ),
    Part("convolutions_jax", (*convs, "--framework=jax"), long * 75, 20),
    Part("convolutions_torch", (*convs, "--framework=torch"), long * 30, 15),
    Part("tests", tuple(tests), long * 60, 15, log="tests.txt"),
    Part(
      "models_float32",
      (*models, "--dtype=float32"),
      long * 150,
      50,
      early=True,
    ),
    Part(
      "convolutions_float32",
      (*convs, "--framework=jax", "--dtype=float32"),
      long * 60,
      20,
    ),
    *(_flag(models, flag, long * 60) for flag in FLAGS),
    *([] if small else [_max_autotune(models)]),
  ]


def _flag(models: list[str], flag: str, limit: float) -> Part:
  """Returns ours alone under one of XLA's flags."""
  name = flag.partition("=")[0].removeprefix("xla_gpu_")
  more = (f"--jax=auto:{flag}", "--torch=", "--models=van_b0")
  return Part(f"flag_{name}", (*models, *more, "--dtype=bfloat16"), limit, 30)


def _max_autotune(models: list[str]) -> Part:
  """Returns PyTorch's longest search, beside none of ours."""
  more = ("--jax=", "--torch=max-autotune", "--models=van_b0")
  command = (*models, *more, "--dtype=bfloat16", "--compile_limit=240")
  return Part("max_autotune", command, 4 * _MINUTE, 90)
