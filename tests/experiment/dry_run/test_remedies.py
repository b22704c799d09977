"""Which changes are tried for a config that does not fit, and the best."""

import pytest

from van_jax.experiment.dry_run import remedies, trial
from van_jax.parallel import topologies

GB = 10**9


@pytest.fixture
def tried(tiny_config):
  """Returns a function that lists the changes for a config on v5e:4x4."""

  def tried(required=30 * GB, state=GB, **changes):
    config = tiny_config(**{"batch_size": 512, **changes})
    topology = topologies.parse("v5e:4x4")
    found = remedies.candidates(
      config, topology, required=required, available=16 * GB, state=state
    )
    return [(remedy.kind, dict(remedy.changes)) for remedy in found]

  return tried


def test_by_the_rule_the_cheapest_come_first(tried):
  kinds = [kind for kind, _ in tried(state=15 * GB)]
  assert sorted(set(kinds), key=kinds.index) == [
    "accumulation",
    "fsdp",
    "remat",
    "batch",
  ]


def test_pieces_are_as_few_as_have_room(tried):
  # 29 GB of images in the 15 left by the state: two pieces are just too large.
  first = next(changes for kind, changes in tried() if kind == "accumulation")
  assert first == {"accumulation_steps": 4}


def test_pieces_hold_whole_groups_and_devices(tried):
  changes = {"model.batch_norm_group_size": 256}
  pieces = [c for kind, c in tried(**changes) if kind == "accumulation"]
  assert pieces == [{"accumulation_steps": 2}]


def test_sharing_the_state_is_left_out_where_it_cannot_help(tried):
  assert "fsdp" not in [kind for kind, _ in tried(state=GB)]
  assert ("fsdp", {"mesh.fsdp": 16}) in tried(state=15 * GB)


def test_what_is_on_is_not_proposed(tried):
  assert "remat" not in [k for k, _ in tried(**{"model.remat": True})]
  assert "fsdp" not in [k for k, _ in tried(state=15 * GB, **{"mesh.fsdp": 16})]


def test_a_smaller_batch_brings_its_learning_rate(tried):
  rate = 2e-3  # Of the tiny config, for 512 here.
  changes = next(changes for kind, changes in tried() if kind == "batch")
  size = changes["batch_size"]
  assert size % 16 == 0
  assert size < 512 * 15 / 29  # In proportion to the room.
  assert changes["schedule.learning_rate"] == pytest.approx(
    rate * size / 512,
    rel=1e-2,  # Three digits.
  )


def test_without_numbers_halves_are_tried(tried):
  found = tried(required=None)
  assert ("accumulation", {"accumulation_steps": 2}) in found
  assert [c["batch_size"] for k, c in found if k == "batch"] == [256, 128]


@pytest.fixture
def ordered(tiny_config):
  """Returns a function from seconds a step to the kinds, best first."""

  def ordered(**seconds):
    rows = {
      "accumulation": {"accumulation_steps": 2},
      "fsdp": {"mesh.fsdp": 16},
      "remat": {"model.remat": True},
      "batch": {"batch_size": 256},
    }
    found = [
      (
        remedies.Remedy(kind, rows[kind], "", another_run=kind == "batch"),
        trial.Compiled(
          images=1,
          seconds=1.0,
          figures={"seconds_by_schedule": seconds[kind]},
          lines=(),
        ),
      )
      for kind in rows
    ]
    config = tiny_config(batch_size=512)
    best = remedies.best_first(config, "training", found)
    return [remedy.kind for remedy, _ in best]

  return ordered


def test_the_best_takes_the_fewest_seconds_by_the_schedule(ordered):
  kinds = ordered(accumulation=3.0, fsdp=2.0, remat=1.0, batch=9.0)
  assert kinds == ["remat", "fsdp", "accumulation", "batch"]


def test_what_makes_another_run_comes_after_what_does_not(ordered):
  kinds = ordered(accumulation=2.0, fsdp=3.0, remat=4.0, batch=0.1)
  assert kinds == ["accumulation", "fsdp", "remat", "batch"]


def test_without_a_schedule_of_one_the_rule_decides(ordered):
  kinds = ordered(accumulation=3.0, fsdp=None, remat=1.0, batch=0.5)
  assert kinds == ["accumulation", "fsdp", "remat", "batch"]


def test_smaller_evaluation_batches_suit_the_devices(tiny_config):
  config = tiny_config(**{"evaluation.batch_size": 1000 * 16})
  found = remedies.evaluation_candidates(
    config,
    topologies.parse("v5e:4x4"),
    required=33 * GB,
    available=16 * GB,
    variables=GB,
  )
  sizes = [remedy.changes["evaluation.batch_size"] for remedy in found]
  # (0.95 * 16 - 1) / 32 of it, half of that, and so on down to an image each.
  assert sizes == [443 * 16, 221 * 16, 110 * 16, 16]


def test_a_remedy_is_written_as_flags():
  remedy = remedies.Remedy("x", {"batch_size": 8, "model.remat": True}, "")
  assert remedy.flags == "--config.batch_size=8 --config.model.remat=True"
