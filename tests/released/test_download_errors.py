"""What does not come is one line: why, and what to do by hand."""

import hashlib
import pathlib
import shutil
import socket
import time

import file_server
import numpy as np
import pytest

from van_jax import errors, released
from van_jax.released import cache, transfer

pytestmark = pytest.mark.usefixtures("cache_dir")

DATA = np.random.default_rng(0).bytes(50_000)


@pytest.fixture
def refused(server, cache_dir):
  """Returns a function that fetches in vain, and returns the one line."""

  def fetch(address="/w.pth"):
    start = time.monotonic()
    address = address if "://" in address else server.url(address)
    with pytest.raises(errors.UserError) as caught:
      released.local_file(address)
    assert time.monotonic() - start < 5
    whole = [
      path
      for path in cache_dir.rglob("*")
      if path.is_file() and path.name.endswith((".pth", ".pth.json"))
    ]
    assert whole == []
    line = str(caught.value)
    assert "\n" not in line
    return line

  return fetch


def by_hand(line, address):
  """Returns whether a line names the address and where to put the file."""
  return f"fetch {address}, put it at /" in line and "the path of the" in line


def test_no_connection_has_its_line(refused):
  with socket.socket() as unused:
    unused.bind(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{unused.getsockname()[1]}/w.pth"
  line = refused(address)
  assert "there is no connection to 127.0.0.1" in line
  assert by_hand(line, address)


def test_no_connection_to_the_hub_asks_for_the_name_of_the_file(
  refused, monkeypatch
):
  with socket.socket() as unused:
    unused.bind(("127.0.0.1", 0))
    endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
  monkeypatch.setenv("HF_ENDPOINT", endpoint)
  line = refused("hf://owner/name")
  assert "by hand, name the file itself, hf://owner/name/FILE, or" in line
  assert "/api/models/" not in line.partition("by hand")[2]


def test_no_name_at_all_names_what_there_is():
  with pytest.raises(errors.UserError, match=r"'' names no weights; .*van_b0"):
    released.local_file("")


def test_a_proxy_that_refuses_is_named_without_its_password(
  server, refused, monkeypatch
):
  proxy = f"http://me:secret@127.0.0.1:{server.server_port}"
  monkeypatch.setenv("https_proxy", proxy)
  line = refused("https://weights.invalid/w.pth")
  assert f"the proxy http://127.0.0.1:{server.server_port}" in line
  assert "https_proxy" in line
  assert "secret" not in line


@pytest.mark.parametrize(
  ("number", "words"),
  [
    (404, "answered 404 Not Found: there is no such file"),
    (401, "HF_TOKEN"),
    (418, "answered 418"),
    (500, "answered 500"),
  ],
)
def test_a_status_has_its_line(number, words, server, refused):
  server.answers["/w.pth"] = [file_server.status(number)]
  line = refused()
  assert words in line
  assert by_hand(line, server.url("/w.pth"))


def test_a_changed_file_is_not_kept(server, refused, cache_dir):
  name = "/van-tiny_8xb128_in1k_20220501-385941af.pth"
  server.answers[name] = [file_server.file(DATA)]
  line = refused(name)
  start = hashlib.sha256(DATA).hexdigest()[:8]
  assert f"begins with {start} and should with 385941af" in line
  assert not list(cache_dir.rglob("*.partial"))


def test_a_file_that_is_not_the_hubs_is_not_kept(server, refused, monkeypatch):
  monkeypatch.setenv("HF_ENDPOINT", server.url(""))
  server.answers["/o/n/resolve/main/w.pth"] = [
    file_server.file(DATA, X_Linked_Etag=f'"{"0" * 64}"')
  ]
  assert "should with 0000000000000000, as the hub says" in refused(
    "hf://o/n/w.pth"
  )


@pytest.mark.parametrize(
  ("body", "kind"),
  [
    (b"  <!DOCTYPE html><html>log in</html>", "application/octet-stream"),
    (b"log in", "text/html; charset=utf-8"),
    (b'<?xml version="1.0"?><Error/>', "application/xml"),
  ],
)
def test_a_web_page_in_the_files_place_is_told(body, kind, server, refused):
  server.answers["/w.pth"] = [file_server.status(200, body, Content_Type=kind)]
  assert "a web page in the file's place" in refused()


def test_a_length_that_promises_too_much_is_told(server, refused):
  def lying(handler):
    handler.say(200, DATA, len(DATA) + 10)

  server.answers["/w.pth"] = [lying]
  line = refused()
  assert f"after {len(DATA)} bytes of {len(DATA) + 10}" in line


def test_a_length_that_promises_too_little_is_found_by_the_hash(
  server, refused
):
  name = f"/w-{hashlib.sha256(DATA).hexdigest()[:8]}.pth"
  server.answers[name] = [lambda handler: handler.say(200, DATA, 1000)]
  assert "changed or damaged" in refused(name)


def test_an_empty_file_is_told(server, refused):
  server.answers["/w.pth"] = [file_server.file(b"")]
  assert "the file is empty" in refused()


def test_a_circle_of_redirections_ends(server, refused):
  server.answers["/w.pth"] = [file_server.status(302, Location="/w.pth")]
  assert "redirected 10 times" in refused()


@pytest.mark.parametrize(
  "to", ["file:///etc/passwd", "ftp://127.0.0.1/w", "http://example.com/w.pth"]
)
def test_a_redirection_to_where_nobody_should_follow_is_refused(
  to, server, refused
):
  server.answers["/w.pth"] = [file_server.status(302, Location=to)]
  line = refused()
  assert f"leads to {to}: it must be an https:// address" in line


def test_a_server_that_stops_is_left(server, refused, monkeypatch):
  # Long enough for the server's thread to have begun, on a busy machine.
  monkeypatch.setattr(transfer, "_TIMEOUTS", (1.0, 0.5))
  server.answers["/w.pth"] = [file_server.stalled(DATA, 1.0)]
  assert "stopped sending" in refused()


def test_a_server_that_never_answers_is_left(server, refused, monkeypatch):
  monkeypatch.setattr(transfer, "_TIMEOUTS", (1.0, 0.05))
  server.answers["/w.pth"] = [lambda _: time.sleep(0.2)]
  assert "does not answer in time" in refused()


def test_a_server_that_drips_is_left(server, refused, monkeypatch):
  monkeypatch.setattr(transfer, "_SLOW_SECONDS", 0.05)
  server.answers["/w.pth"] = [file_server.dripping(DATA[:100], 0.02)]
  assert "hardly sends anything" in refused()


def test_a_full_disk_has_its_line(server, refused, cache_dir):
  server.answers["/w.pth"] = [file_server.file(DATA)]
  path = cache.place(cache_dir, server.url("/w.pth"), "w.pth")
  path.parent.mkdir(parents=True)
  cache.partial(path).symlink_to("/dev/full")  # Each write finds no space.
  line = refused()
  assert "the disk is full: No space left on device" in line
  assert "VAN_JAX_CACHE" in line


def test_what_does_not_fit_is_not_begun(server, refused, monkeypatch):
  little = shutil.disk_usage("/")._replace(free=1_000)
  monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: little)
  server.answers["/w.pth"] = [file_server.file(DATA)]
  line = refused()
  assert "the disk is full: 0.1 MB are missing, 0.0 are free" in line


def test_a_cache_in_the_place_of_a_file_is_named(cache_dir, refused):
  cache_dir.write_text("a file")
  assert f"the cache {cache_dir} cannot be written" in refused()


def test_a_remote_cache_is_refused(monkeypatch, refused):
  monkeypatch.setenv("VAN_JAX_CACHE", "gs://bucket/cache")
  assert "must be a local folder" in refused()


def test_a_cut_answer_leaves_what_came_for_the_next_start(server, refused):
  cut = [file_server.file(DATA, cut=n) for n in (20_000, 0, 0, 0, 0)]
  server.answers["/w.pth"] = cut
  assert "connection broke after 20000 bytes of 50000" in refused()
  server.answers["/w.pth"] = [file_server.file(DATA)]
  path = released.local_file(server.url("/w.pth"))
  assert pathlib.Path(path).read_bytes() == DATA
  assert server.asked[-1][1]["Range"] == "bytes=20000-"


def test_a_hub_that_anybody_on_the_way_could_be_gets_no_token(monkeypatch):
  monkeypatch.setenv("HF_TOKEN", "secret")
  monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
  with pytest.raises(
    errors.UserError, match=r"mirror\.example must be an http"
  ):
    released.local_file("hf://someone/van/weights.bin")
