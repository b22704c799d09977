"""What processes tell one another of a hang, by a store that is a dict."""

import types

import pytest

from van_jax import errors
from van_jax.parallel.processes import listing
from van_jax.training.run import hangs
from van_jax.training.run.phases import Standing

STANDING = Standing(("start-up", "step", "data"), 7.4, 1.0)
LINE = "process 1 hangs in start-up > save"


class Group:
  """Three processes; this one is `me`. All share a store and a clock."""

  def __init__(self, me):
    self.me, self.store, self.now = me, {}, 100.0
    self.reads = 0
    self.is_gone = False

  def index(self):
    """Returns which process this is."""
    return self.me

  def count(self):
    """Returns how many there are."""
    return 3

  def several(self):
    """Returns whether there are others."""
    return True

  def post(self, key, value):
    """Writes, unless process 0 is gone."""
    if self.is_gone:
      raise errors.PeerError("process 0 does not answer")
    self.store[key] = value

  def read_all(self, folder):
    """Reads, unless process 0 is gone."""
    if self.is_gone:
      raise errors.PeerError("process 0 does not answer")
    self.reads += 1
    start = f"{folder}/"
    found = self.store.items()
    return {k.removeprefix(start): v for k, v in found if k.startswith(start)}

  def listed(self, indices):
    """Returns processes in words."""
    return listing.listed(indices)

  def sleep(self, seconds):
    """Lets time pass."""
    self.now += seconds


@pytest.fixture
def join(monkeypatch):
  """Returns a function that makes this process one of three."""

  def join(me):
    group = Group(me)
    clock = types.SimpleNamespace(
      monotonic=lambda: group.now, sleep=group.sleep
    )
    monkeypatch.setattr(hangs, "processes", group)
    monkeypatch.setattr(hangs, "time", clock)
    return group

  return join


def test_who_hangs_posts_it_and_waits_for_the_first_to_look(join):
  group = join(1)
  hangs.tell(LINE)
  assert group.store == {"hang/1": LINE}
  assert group.now >= 100 + hangs._LOOK_SECONDS


def test_a_process_alone_tells_nobody(join, monkeypatch):
  group = join(0)
  monkeypatch.setattr(group, "several", lambda: False)
  hangs.tell(LINE)
  hangs.Others().look(STANDING)
  assert group.store == {}
  assert (group.reads, group.now) == (0, 100)


def test_whoever_reads_of_a_hang_says_once_where_it_stands_itself(join):
  group, others = join(2), hangs.Others()
  others.look(STANDING)
  assert group.store == {}  # Nobody hangs.
  group.post("hang/1", LINE)
  group.now += hangs._LOOK_SECONDS
  others.look(STANDING)
  assert group.store["hang/2"] == (
    "process 2 is in start-up > step > data, 7 s since its last sign of life"
  )
  del group.store["hang/2"]
  group.now += hangs._LOOK_SECONDS
  others.look(STANDING)
  assert set(group.store) == {"hang/1"}


def test_who_hangs_itself_answers_nothing_else(join):
  group = join(1)
  group.post("hang/1", LINE)
  hangs.Others().look(STANDING)
  assert group.store == {"hang/1": LINE}


def test_the_store_is_not_read_at_every_look(join):
  group, others = join(2), hangs.Others()
  for _ in range(10):
    others.look(STANDING)
    group.now += hangs._LOOK_SECONDS / 5
  assert group.reads == 2


def test_the_first_process_logs_where_all_stand_and_who_says_nothing(
  join, caplog
):
  group, others = join(0), hangs.Others()
  group.post("hang/1", LINE)
  others.look(STANDING)
  said = [record.getMessage() for record in caplog.records]
  assert said == [
    "process 0 is in start-up > step > data, 7 s since its last sign of life.",
    f"{LINE}.",
    "process 2 says nothing: halted, gone, or cut off.",
  ]
  group.now += 100
  others.look(STANDING)
  assert len(caplog.records) == 3  # Once.


def test_the_first_process_waits_for_answers_no_longer_than_for_all(
  join, caplog
):
  group = join(0)
  for i in (1, 2):
    group.post(f"hang/{i}", LINE)
  hangs.Others().look(STANDING)
  assert group.now == 100
  assert "says nothing" not in caplog.text


def test_a_store_that_is_gone_with_process_0_hinders_nobody(join):
  group = join(1)
  group.is_gone = True
  hangs.tell(LINE)
  hangs.Others().look(STANDING)
