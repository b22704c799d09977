"""A file comes whole and once, whatever the connection does meanwhile."""

import hashlib
import io
import os
import pathlib
import re
import sys
import threading

import file_server
import numpy as np
import pytest

from van_jax import errors, released
from van_jax.released import cache, progress, transfer

pytestmark = pytest.mark.usefixtures("cache_dir")

DATA = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)


def digits(data):
  return hashlib.sha256(data).hexdigest()[:8]


def fetched(server, path="/w.pth"):
  return pathlib.Path(released.local_file(server.url(path)))


def leftovers(path):
  return sorted(p.name for p in path.parent.iterdir())


def test_a_file_is_fetched_once(server):
  server.answers["/w.pth"] = [file_server.file(DATA)]
  path = fetched(server)
  assert path.read_bytes() == DATA
  assert fetched(server) == path
  assert server.paths() == ["/w.pth"]
  assert leftovers(path) == ["w.pth", "w.pth.json", "w.pth.lock"]


def test_a_download_that_breaks_off_goes_on_where_it_was(server):
  answer = file_server.file(DATA, cut=100_000)
  server.answers["/w.pth"] = [answer, answer, file_server.file(DATA)]
  assert fetched(server).read_bytes() == DATA
  ranges = [headers.get("Range") for _, headers in server.asked]
  assert ranges == [None, "bytes=100000-", "bytes=200000-"]
  assert server.asked[1][1]["If-Range"] == '"1"'


def test_a_later_start_goes_on_where_an_earlier_one_failed(server):
  server.answers["/w.pth"] = [
    file_server.file(DATA, cut=100_000),
    file_server.status(404),
    file_server.file(DATA),
  ]
  with pytest.raises(errors.UserError, match="404"):
    fetched(server)
  assert fetched(server).read_bytes() == DATA
  assert server.asked[-1][1]["Range"] == "bytes=100000-"


def test_a_file_that_changes_while_it_breaks_off_is_not_mixed(server):
  server.answers["/w.pth"] = [
    file_server.file(DATA, cut=100_000),
    file_server.file(OTHER, etag='"2"'),
  ]
  assert fetched(server).read_bytes() == OTHER


def test_without_a_version_the_parts_are_not_put_together(server):
  server.answers["/w.pth"] = [
    file_server.file(DATA, etag="", cut=100_000),
    file_server.file(OTHER, etag=""),
  ]
  assert fetched(server).read_bytes() == OTHER


def test_parts_that_do_not_fit_by_their_hash_are_fetched_anew(server):
  # A server that knows no versions; the name's hash tells.
  name = f"/w-{digits(OTHER)}.pth"
  server.answers[name] = [
    file_server.file(DATA, etag="", cut=100_000),
    file_server.file(OTHER, etag=""),
  ]
  assert fetched(server, name).read_bytes() == OTHER
  assert [h.get("Range") for _, h in server.asked] == [
    None,
    "bytes=100000-",
    None,
  ]


def test_a_server_that_sends_another_part_is_not_believed(server):
  def wrong_part(handler):
    part = f"bytes 0-8/{len(DATA)}"
    handler.say(206, DATA[:9], Content_Range=part, ETag='"1"')

  server.answers["/w.pth"] = [
    file_server.file(DATA, cut=100_000),
    wrong_part,
    file_server.file(DATA),
  ]
  assert fetched(server).read_bytes() == DATA


def test_a_busy_server_is_asked_again(server):
  busy = file_server.status(503)
  server.answers["/w.pth"] = [busy, busy, file_server.file(DATA)]
  assert fetched(server).read_bytes() == DATA


def test_a_process_that_died_before_renaming_costs_nothing(server):
  server.answers["/w.pth"] = [file_server.file(DATA)]
  path = cache.place(cache.folder(), server.url("/w.pth"), "w.pth")
  path.parent.mkdir(parents=True)
  cache.partial(path).write_bytes(DATA)
  (path.parent / "w.pth.partial.tag").write_text('"\\"1\\""')
  assert fetched(server).read_bytes() == DATA
  assert [h.get("Range") for _, h in server.asked] == ["bytes=300000-"]


def test_a_damaged_file_in_the_cache_is_fetched_anew(server):
  server.answers["/w.pth"] = [file_server.file(DATA)]
  path = fetched(server)
  path.write_bytes(DATA[:-1] + b"?")
  assert fetched(server).read_bytes() == DATA


def test_a_file_put_there_by_hand_is_taken(server):
  name = f"w-{digits(DATA)}.pth"
  server.answers[f"/{name}"] = [file_server.status(500)]
  with pytest.raises(errors.UserError) as caught:
    fetched(server, f"/{name}")
  told = re.search(r"put it at (\S+) and start again", str(caught.value))
  assert told is not None
  pathlib.Path(told[1]).write_bytes(DATA)
  assert fetched(server, f"/{name}").read_bytes() == DATA
  pathlib.Path(told[1]).write_bytes(OTHER)
  with pytest.raises(errors.UserError, match="500"):
    fetched(server, f"/{name}")


def test_redirections_are_followed_and_keep_the_token_at_home(
  server, monkeypatch
):
  monkeypatch.setenv("HF_TOKEN", "secret")
  monkeypatch.setenv("HF_ENDPOINT", server.url(""))
  with file_server.running() as elsewhere:
    elsewhere.answers["/blob"] = [file_server.file(DATA)]
    server.answers["/o/n/resolve/main/w.pth"] = [
      file_server.status(302, Location=elsewhere.url("/blob"))
    ]
    path = released.local_file("hf://o/n/w.pth")
    assert pathlib.Path(path).read_bytes() == DATA
    assert server.asked[0][1]["Authorization"] == "Bearer secret"
    assert "Authorization" not in elsewhere.asked[0][1]


def test_two_at_once_fetch_once(server):
  begun, go_on = threading.Event(), threading.Event()

  def slow(handler):
    begun.set()
    go_on.wait(5)
    file_server.file(DATA)(handler)

  server.answers["/w.pth"] = [slow]
  found = []
  threads = [
    threading.Thread(target=lambda: found.append(fetched(server)))
    for _ in range(3)
  ]
  for thread in threads:
    thread.start()
  begun.wait(5)
  go_on.set()
  for thread in threads:
    thread.join()
  assert [path.read_bytes() == DATA for path in found] == [True] * 3
  assert server.paths() == ["/w.pth"]


def test_waiting_for_a_process_that_does_not_move_ends(server, monkeypatch):
  monkeypatch.setattr(cache, "_PATIENCE_SECONDS", 0.1)
  path = cache.place(cache.folder(), server.url("/w.pth"), "w.pth")
  with (
    cache.locked(path),
    pytest.raises(errors.UserError, match=r"w\.pth\.lock and fetches nothing"),
  ):
    fetched(server)


def test_how_far_it_is_is_told_on_stderr(server, capsys):
  server.answers["/w.pth"] = [file_server.file(DATA)]
  fetched(server)
  said = capsys.readouterr()
  assert "w.pth: 0.3 of 0.3 MB (100 %)" in said.err
  assert not said.out


def test_on_a_terminal_it_is_one_line_that_moves(monkeypatch):
  class Terminal(io.StringIO):
    def isatty(self):
      return True

  terminal = Terminal()
  monkeypatch.setattr(sys, "stderr", terminal)
  monkeypatch.setattr(progress, "_TERMINAL_SECONDS", 0.0)
  told = progress.Progress("w.pth", done=0, total=4_000_000)
  told.update(1_000_000)
  told.close(4_000_000)
  said = terminal.getvalue()
  assert "\rw.pth: 1.0 of 4.0 MB (25 %)" in said
  assert said.count("\n") == 1


def test_names_of_a_server_stay_in_their_folder(server, cache_dir):
  path = "/a/..%2F..%2F.evil%00%5C.pth"
  server.answers[path] = [file_server.file(DATA)]
  here = fetched(server, path)
  assert here.read_bytes() == DATA
  assert cache_dir in here.resolve().parents
  assert re.fullmatch(r"[\w.-]+", here.name)
  assert not here.name.startswith(".")


def test_a_file_without_a_length_is_read_to_its_end(server):
  def until_closed(handler):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(DATA)

  server.answers["/w.pth"] = [until_closed]
  assert fetched(server).read_bytes() == DATA


def test_only_as_much_is_read_as_is_allowed(server, monkeypatch):
  monkeypatch.setattr("van_jax.released.fetch._MOST_BYTES", 1000)

  def endless(handler):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    while True:
      handler.wfile.write(bytes(1000))

  server.answers["/w.pth"] = [endless]
  server.answers["/v.pth"] = [file_server.file(DATA)]
  for path in ("/w.pth", "/v.pth"):
    with pytest.raises(errors.UserError, match="most that is fetched"):
      fetched(server, path)


def test_the_cache_is_where_one_says(server, tmp_path, monkeypatch):
  server.answers["/w.pth"] = [file_server.file(DATA)]
  address = server.url("/w.pth")
  given = released.local_file(address, cache_dir=tmp_path / "given")
  assert os.path.commonpath([given, tmp_path / "given"]).endswith("given")
  monkeypatch.delenv("VAN_JAX_CACHE")
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
  assert cache.folder() == tmp_path / "xdg" / "van_jax"
  monkeypatch.setenv("XDG_CACHE_HOME", "")
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  assert cache.folder() == tmp_path / "home" / ".cache" / "van_jax"


def test_a_slow_line_is_no_stalled_one(server, monkeypatch):
  monkeypatch.setattr(transfer, "_SLOW_SECONDS", 0.05)
  monkeypatch.setattr(transfer, "_SLOW_BYTES", 2)
  server.answers["/w.pth"] = [file_server.dripping(DATA[:40], 0.005)]
  assert fetched(server).read_bytes() == DATA[:40]
