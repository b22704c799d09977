"""The run's folder: who owns it, and how it is set aside."""

import json
import subprocess
import sys

import pytest

from van_jax.training.run import lock, workdir

CONFIG = {
  "seed": 0,
  "model": {"name": "van_b0", "mean": (0.5, 0.5)},
  "logging": {"every_steps": 10},
  "data": {"name": "digits", "directory": "a"},
}
FREE = ("logging", "data.directory")


def changed(section, key, value):
  return {**CONFIG, section: {**CONFIG[section], key: value}}


@pytest.fixture
def claimed(tmp_path):
  """Returns the folder of a run of CONFIG."""
  folder = tmp_path / "runs" / "one"
  workdir.claim(folder, CONFIG)
  return folder


def test_a_folder_that_is_not_there_may_be_used(tmp_path):
  workdir.check_owner(tmp_path / "new", CONFIG, free=())


def test_a_claimed_folder_belongs_to_the_same_config(claimed):
  workdir.check_owner(claimed, CONFIG, free=())  # Its tuple is a list there.


def test_another_config_is_refused_with_the_keys_that_differ(claimed):
  other = {**changed("model", "name", "van_b1"), "seed": 7, "extra": 1}
  with pytest.raises(ValueError, match="--start_over") as info:
    workdir.check_owner(claimed, other, free=())
  for difference in (
    "model.name is van_b0 there, van_b1 here",
    "seed is 0 there, 7 here",
    r"extra is (absent) there, 1 here",
  ):
    assert difference in str(info.value)
  assert "model.mean" not in str(info.value)


@pytest.mark.parametrize(
  ("section", "key"), [("logging", "every_steps"), ("data", "directory")]
)
def test_free_keys_and_sections_may_differ(claimed, section, key):
  workdir.check_owner(claimed, changed(section, key, "other"), free=FREE)


def test_a_free_key_does_not_free_its_neighbours(claimed):
  with pytest.raises(ValueError, match=r"data\.name"):
    workdir.check_owner(claimed, changed("data", "name", "x"), free=FREE)


@pytest.mark.parametrize("name", ["checkpoints", "mine"])
def test_a_workdir_in_anothers_workdir_is_refused(claimed, name):
  with pytest.raises(ValueError, match="lies in the workdir of another run"):
    workdir.check_owner(claimed / name, CONFIG, free=())


def test_a_file_is_no_workdir(tmp_path):
  path = tmp_path / "file"
  path.touch()
  with pytest.raises(ValueError, match="is a file"):
    workdir.check_owner(path, CONFIG, free=())


def test_an_empty_name_is_refused(tmp_path):
  with pytest.raises(ValueError, match="--workdir=DIR"):
    workdir.check_owner("", CONFIG, free=())


def test_checkpoints_without_a_config_are_nobodys(tmp_path):
  (tmp_path / workdir.CHECKPOINTS / "4").mkdir(parents=True)
  with pytest.raises(ValueError, match="config is not known"):
    workdir.check_owner(tmp_path, CONFIG, free=())


def test_what_a_save_makes_of_a_removed_workdir_is_new(tmp_path):
  folder = tmp_path / workdir.CHECKPOINTS
  (folder / "4.orbax-checkpoint-tmp").mkdir(parents=True)
  workdir.check_owner(tmp_path, CONFIG, free=())


def test_a_damaged_config_is_named(claimed):
  path = claimed / workdir.CONFIG
  path.write_text(path.read_text()[:20])
  with pytest.raises(ValueError, match=r"config\.json is damaged.*start_over"):
    workdir.check_owner(claimed, CONFIG, free=())


@pytest.mark.parametrize(
  "text",
  [
    "[1]",
    "5",
    "[" * 100_000,
    '{"a":' * 100_000 + "1" + "}" * 100_000,
    '{"format_version": "two"}',
    '{"format_version": Infinity}',
  ],
)
def test_a_config_of_another_kind_is_damage(claimed, text):
  (claimed / workdir.CONFIG).write_text(text)
  with pytest.raises(ValueError, match=r"config\.json is damaged"):
    workdir.read_config(claimed)


def test_a_config_that_is_a_folder_is_one_line(claimed):
  (claimed / workdir.CONFIG).unlink()
  (claimed / workdir.CONFIG).mkdir()
  with pytest.raises(ValueError, match=r"config\.json cannot be read \(Is a"):
    workdir.read_config(claimed)


def test_what_a_killed_start_left_is_removed_by_the_next(claimed):
  process = subprocess.Popen([sys.executable, "-c", ""])
  process.wait()
  for name in (workdir.CONFIG, "bundle"):
    (claimed / f".{name}.{process.pid}.incomplete").write_text("half")
  with workdir.opened(claimed, CONFIG, start_over=False):
    pass
  left = sorted(path.name for path in claimed.iterdir())
  assert left == [lock.NAME, workdir.CONFIG]


def edit(folder, **changes):
  """Changes fields of a folder's config.json; None removes one."""
  path = folder / workdir.CONFIG
  fields = json.loads(path.read_text()) | changes
  kept = {key: value for key, value in fields.items() if value is not None}
  path.write_text(json.dumps(kept))


def test_a_run_of_a_newer_version_is_refused_in_one_line(claimed):
  edit(claimed, format_version=99)
  with pytest.raises(ValueError, match=r"version 99.*up to 3; ins") as info:
    workdir.check_owner(claimed, CONFIG, free=())
  assert "\n" not in str(info.value)


def test_a_run_that_says_no_version_is_of_the_first(claimed):
  edit(claimed, format_version=None)
  workdir.check_owner(claimed, CONFIG, free=())


def test_an_older_config_is_compared_in_todays_keys(claimed):
  edit(claimed, seed=None, old_seed=0)

  def upgrade(config):
    seed = config.pop("old_seed")
    return {**config, "seed": seed}

  workdir.check_owner(claimed, CONFIG, free=(), upgrade=upgrade)
  other = {**CONFIG, "seed": 1}
  with pytest.raises(ValueError, match="seed is 0 there, 1 here"):
    workdir.check_owner(claimed, other, free=(), upgrade=upgrade)


def test_reading_a_folder_without_a_run_says_so(tmp_path):
  with pytest.raises(ValueError, match="not a training workdir"):
    workdir.read_config(tmp_path)


def test_claiming_leaves_the_config_and_no_draft(claimed):
  assert [path.name for path in claimed.iterdir()] == [workdir.CONFIG]


def test_set_aside_keeps_everything_under_the_next_free_name(claimed):
  (claimed.with_name("one.1")).mkdir()
  workdir.set_aside(claimed)
  assert not claimed.exists()
  assert workdir.read_config(claimed.with_name("one.2"))["seed"] == 0


def test_setting_aside_nothing_does_nothing(tmp_path):
  workdir.set_aside(tmp_path / "new")
  assert list(tmp_path.iterdir()) == []


def test_a_process_that_finds_all_set_aside_still_waits_for_the_first(
  tmp_path, monkeypatch
):
  points = []  # Where all processes must meet, or none goes on.
  monkeypatch.setattr(
    workdir.processes, "first_does", lambda name, function: points.append(name)
  )
  with workdir.opened(tmp_path, CONFIG, start_over=True):
    pass
  lock_first = "locking the workdir"
  assert points == [
    *(lock_first, "setting the old run aside"),
    *(lock_first, "claiming the workdir"),
  ]
