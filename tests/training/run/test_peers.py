"""What the loss of another process looks like, and what does not."""

import jax
import pytest

from van_jax import errors
from van_jax.training.run import peers

GLOO = (
  "FAILED_PRECONDITION: Buffer Definition Event: Gloo all-reduce failed: "
  "[external/gloo/gloo/transport/tcp/pair.cc:547] Read error "
  "[127.0.0.1]:51812: Connection reset by peer"
)


@pytest.fixture
def several(monkeypatch):
  """Has this process be the first of two."""
  monkeypatch.setattr(peers.processes, "several", lambda: True)
  monkeypatch.setattr(peers.processes, "count", lambda: 2)


def fail(text):
  with peers.losses_named():
    raise jax.errors.JaxRuntimeError(text)


@pytest.mark.parametrize(
  "text",
  [
    GLOO,
    "INTERNAL: NCCL operation ncclAllReduce failed: remote process exited",
    "UNAVAILABLE: failed to connect to all addresses",
    "DEADLINE_EXCEEDED: Barrier timed out. Id: save",
  ],
)
@pytest.mark.usefixtures("several")
def test_a_lost_peer_is_a_line_that_says_the_same_command_goes_on(text):
  with pytest.raises(errors.PeerError, match="the same command") as info:
    fail(text)
  assert text.partition("\n")[0][:100] in str(info.value)


@pytest.mark.parametrize(
  "text",
  [
    "RESOURCE_EXHAUSTED: Out of memory allocating 3 bytes",
    "INVALID_ARGUMENT: Executable expected parameter 0",
  ],
)
@pytest.mark.usefixtures("several")
def test_other_errors_stay_what_they_are(text):
  with pytest.raises(jax.errors.JaxRuntimeError):
    fail(text)


def test_one_process_alone_loses_nobody():
  with pytest.raises(jax.errors.JaxRuntimeError):
    fail(GLOO)
