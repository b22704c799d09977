"""What the command line of a sweep makes of keys, values and folders."""

import pathlib
import sys

import pytest

from van_jax.sweeps import array_job, axes, members

# ml_collections reads config files so.
pytestmark = pytest.mark.filterwarnings(
  r"ignore:the load_module\(\) method is deprecated:DeprecationWarning"
)

ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIG = f"--config={ROOT / 'configs' / 'digits.py'}"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
  monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])


def plan(workdir, *given, of_config=(CONFIG,), more=()):
  return members.plan(
    axes.parse(given), of_config=of_config, workdir=str(workdir), more=more
  )


def test_all_combinations_are_named_after_their_values(tmp_path):
  planned = plan(
    tmp_path / "new", "schedule.learning_rate=5e-4,1e-3", "seed=0,1"
  )
  assert [member.name for member in planned] == [
    "learning_rate=0.0005,seed=0",
    "learning_rate=0.0005,seed=1",
    "learning_rate=0.001,seed=0",
    "learning_rate=0.001,seed=1",
  ]
  assert planned[2].config.schedule.learning_rate == 1e-3
  assert planned[1].config.seed == 1
  assert planned[1].workdir == tmp_path / "new" / planned[1].name
  assert not (tmp_path / "new").exists()


def test_a_run_has_the_command_that_a_user_would_write(tmp_path):
  of_config = (CONFIG, "--config.batch_size=32")
  (member,) = plan(
    tmp_path, "seed=3", of_config=of_config, more=["--distributed"]
  )
  assert member.command == (
    *(sys.executable, "-m", "van_jax", "train"),
    *of_config,
    "--config.seed=3",
    f"--workdir={tmp_path / 'seed=3'}",
    "--distributed",
  )
  assert member.config.batch_size == 32


def test_tuples_options_and_none_are_values(tmp_path):
  planned = plan(
    tmp_path,
    "model.depths=(1,1,1,1),(1,1,2,1)",
    "optimizer.options.beta2=0.9",
    "ema.decay=None,0.9",
  )
  assert planned[0].name == "depths=1-1-1-1,beta2=0.9,decay=None"
  assert planned[3].config.model.depths == (1, 1, 2, 1)
  assert planned[0].config.ema.decay is None
  assert planned[0].config.optimizer.options.beta2 == 0.9


@pytest.mark.parametrize(
  ("given", "now"),
  [
    ("optimizer.learning_rate", "schedule.learning_rate"),
    ("optimizer.beta2", "optimizer.options.beta2"),
    ("model.kernel_size", "model.attention.kernel_size"),
  ],
)
def test_other_spellings_of_a_key_are_that_key(given, now):
  assert axes.parse([f"{given}=21"])[0].key == now


@pytest.mark.parametrize(
  ("given", "said"),
  [
    ((), "needs an axis"),
    (("seed",), r"--axis=seed must be written KEY=VALUE"),
    (("seed=1,",), "must be written KEY=VALUE"),
    (("seed=0", "seed=1"), "--axis=seed comes twice"),
    (("seed=1,01",), "two runs of the sweep would be called seed=1"),
    (("shedule.learning_rate=1",), "did you mean config.schedule"),
    (("model.learning_rate=1",), "did you mean config.schedule.learning_rate"),
    (("seed=0,x",), r"config\.seed='x' must be of type int"),
    (("schedule.warmup_epochs=1,99",), r"warmup_epochs=99\.0: .*warmup_epochs"),
    (("model.name=van_b0,van_b9",), "name=van_b9: .*van_b9"),
    (("model.dtype=float32,float16",), "dtype=float16: .*bfloat16"),
  ],
)
def test_what_cannot_be_is_refused_before_anything_runs(tmp_path, given, said):
  with pytest.raises(ValueError, match=said):
    plan(tmp_path / "new", *given)
  assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
  "more", ["--workdir=x", "--start_over", "--config.a=1"]
)
def test_what_a_sweep_gives_its_runs_is_not_given_twice(tmp_path, more):
  with pytest.raises(ValueError, match=r"may not follow --"):
    plan(tmp_path, "seed=0", more=[more])


def test_a_single_runs_workdir_is_no_sweeps(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  with pytest.raises(ValueError, match="is the workdir of a single run"):
    plan(tmp_path, "seed=0")


@pytest.mark.parametrize(
  ("environment", "given", "index"),
  [
    ({}, None, None),
    ({}, "2", 2),
    ({"SLURM_ARRAY_TASK_ID": "1"}, "auto", 1),
    ({"JOB_COMPLETION_INDEX": "0"}, "auto", 0),
    ({"JOB_COMPLETION_INDEX": "0"}, None, None),
  ],
)
def test_an_array_job_says_which_run(monkeypatch, environment, given, index):
  clear(monkeypatch, environment)
  assert array_job.index(given, 3) == index


@pytest.mark.parametrize(
  ("environment", "given", "said"),
  [
    ({}, "3", r"--index=3 must be a number from 0 to 2"),
    ({}, "x", r"--index=x must be a number"),
    ({}, "auto", "SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX"),
    ({"SLURM_ARRAY_TASK_ID": "7"}, "auto", "SLURM_ARRAY_TASK_ID=7 must be"),
  ],
)
def test_an_index_without_a_run_is_refused(
  monkeypatch, environment, given, said
):
  clear(monkeypatch, environment)
  with pytest.raises(ValueError, match=said):
    array_job.index(given, 3)


def clear(monkeypatch, environment):
  for name in ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"):
    monkeypatch.delenv(name, raising=False)
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
