"""Processes that join and meet, and say in time who is not there."""

import contextlib
import dataclasses
import errno
import socket
import threading
import time
import types
from concurrent import futures

import jax
import pytest

from van_jax import errors, retrying
from van_jax.parallel import processes
from van_jax.parallel.processes import (
  cluster,
  listing,
  meeting,
  roll_call,
  runtime,
)

ROLES = "tests/parallel/meetings.py"


@pytest.fixture(scope="module")
def met(play):
  """Returns what three processes found."""
  return [each["value"] for each in play(f"{ROLES}:meet", 3)]


def test_each_process_knows_its_place(met):
  assert [each["index"] for each in met] == [0, 1, 2]
  assert {each["count"] for each in met} == {3}


def test_what_one_posts_all_read(met):
  for each in met:
    assert each["read"] == "at 2"
    assert each["unknown"] is None
    assert each["all"] == {str(i): f"at {i}" for i in range(3)}


def test_all_hear_the_first_process_again_and_again(met):
  for each in met:
    assert each["told"] == ["red of 0", "blue of 0"]
    assert each["gathered"] == [["S0", "S1", "S2"], ["L0", "L1", "L2"]]


def test_a_failure_of_the_first_process_is_told_to_the_others(met):
  first, *others = (each["failure"] for each in met)
  assert first == "OSError No space left on device"
  for line in others:
    assert "process 0 failed at writing" in line
    assert "No space left on device" in line


def test_a_barrier_says_who_is_missing_and_where_it_is(met):
  for each in met[:2]:
    assert (
      "'the door' for process 2 (last seen at 'another door')"
      in (each["missing"])
    )
    assert each["waited"] < 50.0  # 10 s, on a machine that does other things.
  assert "processes 0 and 1 (last seen at 'the door')" in met[2]["missing"]


@pytest.fixture(scope="module")
def troubles(play):
  """Returns how the groups of meetings.GROUPS_OF ended."""
  return play(f"{ROLES}:trouble", 10)


def test_who_does_not_come_is_named_by_all_who_did(troubles):
  for each in troubles[:2]:
    assert each["kind"] == "PeerError"
    assert "processes 1 and 3 of 4 did not come within 10 s" in each["error"]
    assert each["seconds"] < 50.0


def test_other_numbers_of_processes_are_refused_at_once(troubles):
  for each in troubles[2:4]:
    assert each["kind"] == "UserError"
    assert (
      "num_processes is 2 for process 0, and 3 for process 1" in (each["error"])
    )
    assert each["seconds"] < 50.0  # Of 100.


def test_an_index_that_is_given_twice_is_named(troubles):
  first, *others = troubles[4:7]
  (late,) = [each for each in others if each["kind"] == "UserError"]
  assert "process_id=1 was given to two processes" in late["error"]
  for each in (first, *(each for each in others if each is not late)):
    assert "process 2 of 3 did not come" in each["error"]


def test_a_coordinator_that_is_not_there_is_one_line_in_time(troubles):
  unreachable, taken = troubles[7:9]
  assert "process 0 cannot be reached at 127.0.0.1:" in unreachable["error"]
  assert "(Connection refused)" in unreachable["error"]
  assert "process 0 cannot listen at port" in taken["error"]
  for each in (unreachable, taken):
    assert each["kind"] == "PeerError"
    assert each["seconds"] < 50.0
    assert "\n" not in each["error"]


def test_a_group_of_one_waits_for_nobody(troubles):
  assert troubles[9]["value"] == [False, ["mine"]]


def test_a_failure_of_the_first_process_that_passes_ends_all_alike(monkeypatch):
  """Else its scheduler would start it again, and not the others."""
  said = []

  def broadcast(name, value, *, seconds):
    said.append(value)
    return said[0]

  monkeypatch.setattr(meeting, "broadcast", broadcast)
  stumbled = OSError(errno.EIO, "Input/output error")

  def stumble():
    raise errors.UserError("x cannot be written") from stumbled

  with pytest.raises(errors.UserError) as first:
    processes.first_does("writing", stumble)
  monkeypatch.setattr(runtime, "is_first", lambda: False)
  with pytest.raises(
    retrying.StillFailingError,
    match="process 0 failed at writing: x cannot be written",
  ):
    processes.first_does("writing", stumble)
  assert retrying.may_go_on(first.value)


def test_one_process_touches_no_runtime(monkeypatch):
  def touched(*arguments):
    raise AssertionError("the runtime is asked")

  monkeypatch.setattr(runtime, "_client", touched)
  monkeypatch.setattr(jax, "process_index", touched)  # It touches devices.
  processes.barrier("alone")
  assert processes.broadcast("word", "said") == "said"
  assert processes.gather("word", "said") == ["said"]
  ran = []
  processes.first_does("work", lambda: ran.append(1))
  assert ran == [1]


@pytest.mark.parametrize(
  ("indices", "text"),
  [
    ([3], "process 3"),
    ([1, 0], "processes 0 and 1"),
    ([0, 2, 3, 4, 9, 10], "processes 0, 2-4, 9 and 10"),
  ],
)
def test_indices_are_listed_in_runs(indices, text):
  assert listing.listed(indices) == text


SLURM = {
  "SLURM_JOB_ID": "7",
  "SLURM_STEP_NODELIST": "node[003-006]",
  "SLURM_NTASKS": "4",
  "SLURM_PROCID": "2",
  "SLURM_LOCALID": "0",
}
OPEN_MPI = {
  "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
  "OMPI_COMM_WORLD_SIZE": "8",
  "OMPI_COMM_WORLD_RANK": "5",
  "OMPI_COMM_WORLD_LOCAL_RANK": "1",
  "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
}
GIVEN = {
  "JAX_COORDINATOR_ADDRESS": "first:1234",
  "JAX_NUM_PROCESSES": "3",
  "JAX_PROCESS_ID": "1",
}
GKE = {
  "TPU_WORKER_HOSTNAMES": "localhost,b,c,d",
  "TPU_WORKER_ID": "3",
  "MEGASCALE_COORDINATOR_ADDRESS": "",  # Or the metadata server is asked.
  "MEGASCALE_NUM_SLICES": "1",
  "MEGASCALE_SLICE_ID": "0",
}


@pytest.fixture
def on_tpu(monkeypatch):
  """Has JAX take this host for one of a TPU's."""
  from jax._src.clusters import cloud_tpu_cluster

  monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)
  config = types.SimpleNamespace(jax_platforms="tpu,cpu")
  monkeypatch.setattr(cluster.jax, "config", config)
  for name, value in GKE.items():
    monkeypatch.setenv(name, value)


def place_by(monkeypatch, variables, **given):
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  place = cluster.find(cluster.Group(**given), seconds=1.0)
  return place.address, place.count, place.index, place.local_devices


def test_the_environment_gives_each_process_its_place(monkeypatch):
  assert place_by(monkeypatch, GIVEN) == ("first:1234", 3, 1, None)


def test_flags_count_before_the_environment(monkeypatch):
  place = place_by(monkeypatch, GIVEN, num_processes=9, process_id=8)
  assert place == ("first:1234", 9, 8, None)


def test_slurm_and_open_mpi_say_it_themselves(monkeypatch):
  with monkeypatch.context() as patch:
    address, *rest = place_by(patch, SLURM)
    assert address.startswith("node003:")
    assert rest == [4, 2, [0]]
  address, *rest = place_by(monkeypatch, OPEN_MPI)
  assert address.startswith("10.96.0.1:")
  assert rest == [8, 5, [1]]


def test_one_process_a_host_has_all_of_its_devices(monkeypatch):
  variables = SLURM | {"SLURM_STEP_TASKS_PER_NODE": "1(x4)"}
  assert place_by(monkeypatch, variables)[3] is None


def test_tpu_hosts_meet_at_a_port_that_google_opens(monkeypatch, on_tpu):
  assert place_by(monkeypatch, {}) == ("localhost:8476", 4, 3, None)


def test_one_of_a_tpus_hosts_alone_is_refused_in_one_line(monkeypatch, on_tpu):
  with pytest.raises(errors.UserError, match=r"one of 4 hosts.*--distributed"):
    processes.check_alone()
  monkeypatch.setenv("TPU_PROCESS_BOUNDS", "1,1,1")
  processes.check_alone()  # It asks for its own chips.


@pytest.mark.parametrize(
  ("variables", "message"),
  [
    ({}, "needs JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID"),
    ({**GIVEN, "JAX_PROCESS_ID": "3"}, "process_id=3 must be from 0 to 2"),
    ({**GIVEN, "JAX_PROCESS_ID": "x"}, "process_id='x' must be a whole number"),
    ({**GIVEN, "JAX_COORDINATOR_ADDRESS": "first"}, "must be HOST:PORT"),
    ({**SLURM, "SLURM_NTASKS": "many"}, "cannot learn.*num_processes"),
  ],
)
def test_what_is_wrong_with_a_place_is_said(monkeypatch, variables, message):
  with pytest.raises(errors.UserError, match=message) as info:
    place_by(monkeypatch, variables)
  assert "\n" not in str(info.value)


STRANGERS = [
  b"GET / HTTP/1.1\r\n",
  b"\xff\xfe\n",
  b"[" * 4000 + b"\n",
  b"x" * 10_000,  # And no end of the line.
  b'{"index": [], "count": 2, "host": "h"}\n',
  b'{"index": "1", "count": 3, "host": "h"}\n',
  b'{"index": 9, "count": 3, "host": "h"}\n',
  b'{"index": 1, "count": true, "host": "h"}\n',
]


def place_at(port, index):
  """Returns the place of one of two processes on this host."""
  return cluster.Place(
    host="[::1]" if socket.has_dualstack_ipv6() else "127.0.0.1",
    port=port,
    count=2,
    index=index,
    local_devices=None,
    source="the test",
  )


def test_strangers_at_the_port_neither_stop_nor_join_a_start(capfd):
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  deadline = time.monotonic() + 60.0
  with futures.ThreadPoolExecutor(2) as pool:
    first = pool.submit(roll_call.answer, place_at(port, 0), deadline, 60.0)
    for said in STRANGERS:
      while True:
        with contextlib.suppress(ConnectionRefusedError):
          with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(said)
          break
        time.sleep(0.05)
    assert not first.done()
    roll_call.ask(place_at(port, 1), deadline, 60.0, "here")
    first.result()
  assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
  "said",
  [
    b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x7f\xff\xff\xff\n",  # gRPC.
    b'{"error": "of another kind"}\n',
    b"",
  ],
)
def test_what_else_listens_at_the_coordinators_port_is_asked_again(said):
  with socket.socket() as other:
    other.bind(("127.0.0.1", 0))
    other.listen()
    place = dataclasses.replace(
      place_at(other.getsockname()[1], 1), host="127.0.0.1"
    )

    def speak():
      with contextlib.suppress(OSError):
        while True:
          line, _ = other.accept()
          with line:
            line.recv(4096)
            line.sendall(said)

    threading.Thread(target=speak, daemon=True).start()
    with pytest.raises(errors.PeerError, match="ended, or is no van_jax"):
      roll_call.ask(place, time.monotonic() + 0.5, 0.5, "here")
    other.shutdown(socket.SHUT_RDWR)


def test_who_has_joined_joins_no_second_time(monkeypatch):
  patience = [600.0]
  monkeypatch.setattr(meeting, "_patience", patience)
  monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
  processes.join(processes.Group(), seconds=1.0, barrier_seconds=7.0)
  assert patience == [7.0]
