"""What all processes of a run try together ends alike in all."""

import errno

import jax
import pytest

from van_jax import errors, retrying
from van_jax.training.run import attempts, peers

EIO = OSError(errno.EIO, "Input/output error")
LOST = errors.PeerError("process 2 is gone")
BARRIER = jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: Barrier timed out.")


@pytest.fixture
def attempt(monkeypatch):
  """Returns a function: an attempt here, beside one that ended so elsewhere."""
  monkeypatch.setattr(peers.processes, "several", lambda: True)

  def attempt(error, other):
    def do():
      if error is not None:
        raise error
      return "read"

    monkeypatch.setattr(
      attempts.processes,
      "gather",
      lambda name, value, *, seconds: [value, str(other)],
    )
    return attempts.together(do, "Reading x", seconds=100)

  return attempt


def test_what_all_have_done_is_returned(attempt):
  assert attempt(None, attempts._DONE) == "read"


@pytest.mark.parametrize("error", [LOST, BARRIER])
@pytest.mark.parametrize("other", [attempts._DONE, attempts._PASSING])
def test_a_lost_peer_is_an_interruption_and_no_failure(attempt, error, other):
  with pytest.raises(type(error)) as raised:
    attempt(error, other)
  assert peers.is_loss(raised.value)


@pytest.mark.parametrize("error", [None, EIO])
def test_whoever_has_lost_nobody_is_interrupted_with_who_has(attempt, error):
  """Else it would take the checkpoint for damaged, and set it aside."""
  with pytest.raises(errors.PeerError, match=r"the same command.* goes on"):
    attempt(error, attempts._LOST)


@pytest.mark.parametrize("error", [None, LOST, BARRIER])
def test_a_failure_counts_more_than_the_loss_that_it_is_for_others(
  attempt, error
):
  with pytest.raises(attempts.OtherProcessError, match="whose log says why"):
    attempt(error, attempts._FAILED)


@pytest.mark.parametrize("error", [None, LOST, EIO])
def test_storage_that_goes_on_failing_is_that_for_all(attempt, error):
  with pytest.raises(retrying.StillFailingError, match="Reading x failed for"):
    attempt(error, attempts._OVER)
