"""A dry run as a user starts it, and one whose compiler is a line of Python."""

import dataclasses
import pickle
import subprocess
import sys

import pytest

from van_jax import errors, experiment
from van_jax.experiment.dry_run import asking, examples, run as run_lib
from van_jax.experiment.dry_run.trial import Answer, Compiled, Request
from van_jax.parallel import absent

GIB = 1 << 30
EXAMPLES = examples.Examples(num_train=1000, num_eval=10)


@pytest.fixture
def request_for(tiny_config):
  """Returns a function that asks for the tiny run on a topology."""

  def request_for(topology="cpu:2", **changes):
    return Request(
      config=tiny_config(**changes).to_dict(),
      topology=topology,
      examples=EXAMPLES,
      steps=["training"],
    )

  return request_for


@pytest.fixture
def fake(monkeypatch):
  """Returns what was asked of a compiler with 16 GiB, 1 of them for state.

  An image at once takes a GiB, half of that with remat, and a quarter of that
  in evaluation.
  """
  asked = []

  def step(config, name):
    images = config["batch_size"] // config["accumulation_steps"] // 16
    needed = GIB + images * GIB // (2 if config["model"]["remat"] else 1)
    if name == "evaluation":
      images = config["evaluation"]["batch_size"] // 16
      needed = GIB + images * GIB // 4
    figures = {
      "fits": needed <= 16 * GIB,
      "memory_bytes": needed,
      "required_bytes": needed,
      "flops": 1e9,
      "seconds_by_schedule": None,
    }
    return Compiled(images=images, seconds=1.0, figures=figures, lines=[name])

  def ask(request, *, seconds, title):
    asked.append(title.partition("4x4, ")[2])
    return Answer(
      available_bytes=16 * GIB,
      state_bytes=GIB,
      parameters=1000,
      steps={name: step(request.config, name) for name in request.steps},
      total_steps=12,
    )

  monkeypatch.setattr(asking, "ask", ask)
  monkeypatch.setattr(absent, "check_compiler", lambda topology: None)
  monkeypatch.setattr(run_lib.jax.config, "update", lambda name, value: None)
  monkeypatch.setattr(examples, "find", lambda config: EXAMPLES)
  return asked


def test_a_user_is_told_what_a_run_would_take(run, last_json):
  process = run("train.py", "--dry_run=cpu:4", "--config.mesh.fsdp=1")
  found = last_json(process)
  lines = process.stdout.splitlines()
  assert lines[0].startswith("COMPILES: van_b0 with batch_size=16 on cpu:4")
  assert (found["devices"], found["training"]["images_a_device"]) == (4, 4)
  assert found["training"]["argument_bytes"] > found["state_bytes"] > 0
  assert found["total_steps"] == 12
  # Statistics of a whole batch, and gradients, are summed over the devices.
  kinds = {row["kind"] for row in found["training"]["collectives"]}
  assert "all-reduce" in kinds
  assert found["evaluation"]["fits"]
  assert "Compiling van_b0 for cpu:4 ... 0 s" in process.stderr


def test_the_compiler_ends_with_who_asked(request_for):
  process = subprocess.Popen(
    [sys.executable, "-m", asking._MODULE],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
  )
  said, _ = process.communicate(pickle.dumps(request_for()), timeout=60)
  assert (process.returncode, said) == (1, b"")


def test_the_compiler_is_stopped_in_time(request_for, capfd):
  with pytest.raises(errors.UserError, match="took more than 0 s and was stop"):
    asking.ask(request_for(), seconds=0, title="Compiling it")
  assert "Compiling it ... 0 s" in capfd.readouterr().err


def test_what_fits_is_said_first(fake, tiny_config, capsys):
  found = experiment.dry_run(tiny_config(batch_size=160), target="v5e:4x4")
  assert found["fits"]
  assert (found["remedies"], fake) == ([], [""])
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == (
    "FITS: van_b0 with batch_size=160 on v5e:4x4, by the compiler."
  )


def test_remedies_are_compiled_and_printed_as_flags(fake, tiny_config, capsys):
  found = experiment.dry_run(tiny_config(batch_size=320), target="v5e:4x4")
  assert not found["fits"]
  assert [remedy["changes"] for remedy in found["remedies"]] == [
    {"accumulation_steps": 2},
    {"model.remat": True},
    {"batch_size": 224, "schedule.learning_rate": 0.0014},
  ]
  assert fake[0] == ""
  out = capsys.readouterr().out
  assert out.startswith("DOES NOT FIT: van_b0 with batch_size=320")
  assert "  --config.accumulation_steps=2\n" in out
  assert "--config.batch_size=224 --config.schedule.learning_rate=0.0014" in out
  assert "11.00 GiB a device, 10 images at once" in out


def test_the_largest_batch_is_printed_as_a_flag(fake, tiny_config, capsys):
  found = experiment.dry_run(
    tiny_config(batch_size=32), target="v5e:4x4", largest_batch=True
  )
  largest = found["largest_batch"]
  assert (largest["batch_size"], largest["refused"]) == (240, 256)  # 15 each.
  assert len(fake) == len(set(fake)) == largest["compilations"]
  assert "--config.batch_size=240 " in capsys.readouterr().out


def test_without_a_refusal_no_largest_batch_is_looked_for(fake, tiny_config):
  with pytest.raises(errors.UserError, match="--largest_batch needs"):
    experiment.dry_run(tiny_config(), target="h100:8", largest_batch=True)
  assert not fake


def test_the_config_says_how_long_a_compilation_may_take(
  fake, tiny_config, monkeypatch
):
  given, ask = [], asking.ask

  def timed(request, *, seconds, title):
    given.append(seconds)
    return ask(request, seconds=seconds, title=title)

  monkeypatch.setattr(asking, "ask", timed)
  config = tiny_config(**{"batch_size": 32, "deadlines.compile_seconds": 42.0})
  experiment.dry_run(config, target="v5e:4x4")
  assert given == [42.0]


def test_an_evaluation_batch_that_fits_is_found_by_compiling(
  fake, tiny_config, capsys
):
  config = tiny_config(**{"batch_size": 32, "evaluation.batch_size": 2048})
  found = experiment.dry_run(config, target="v5e:4x4")
  assert not found["fits"]
  # 60 images a chip fit; by proportion and with a margin 58.
  (remedy,) = found["remedies"]
  assert remedy["changes"] == {"evaluation.batch_size": 928}
  assert remedy["evaluation"]["fits"]
  assert fake == ["", "evaluation.batch_size=928"]
  out = capsys.readouterr().out
  assert out.splitlines()[0] == (
    "DOES NOT FIT: van_b0 with batch_size=32 on v5e:4x4: the evaluation step, "
    "and only that, with evaluation.batch_size=2048."
  )
  assert "What would fit of the evaluation step:\n" in out
  assert "  --config.evaluation.batch_size=928\n" in out


def test_both_steps_that_do_not_fit_have_their_remedies(fake, tiny_config):
  config = tiny_config(**{"batch_size": 320, "evaluation.batch_size": 2048})
  found = experiment.dry_run(config, target="v5e:4x4")
  by_step = [
    next(iter(r.keys() - {"flags", "changes"})) for r in found["remedies"]
  ]
  assert by_step == ["training"] * 3 + ["evaluation"]


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"batch_size": 24}, r"batch_size=24 .* 16 devices.*use 16 or 32"),
    ({"evaluation.batch_size": 8}, r"evaluation\.batch_size=8 .* 16 devices"),
    ({"batch_size": 1600}, r"at most the 1000 examples"),
  ],
)
def test_batches_must_suit_the_devices(fake, tiny_config, changes, said):
  with pytest.raises(errors.UserError, match=said):
    experiment.dry_run(tiny_config(**changes), target="v5e:4x4")
  assert not fake


def test_an_unknown_size_leaves_the_steps_open(
  fake, tiny_config, monkeypatch, capsys
):
  unknown = dataclasses.replace(EXAMPLES, num_train=None)
  monkeypatch.setattr(examples, "find", lambda config: unknown)
  experiment.dry_run(tiny_config(batch_size=32), target="v5e:4x4")
  assert "steps        not known" in capsys.readouterr().out
