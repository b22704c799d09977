"""A server of files on this machine that can misbehave in every way."""

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator

Answer = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
  """Answers by the server's table of paths, and keeps what it was asked."""

  protocol_version = "HTTP/1.1"
  server: "Server"

  def do_GET(self):
    """Answers, and closes: no test depends on a connection that stays."""
    self.close_connection = True
    path = self.path.partition("?")[0]
    self.server.asked.append((path, dict(self.headers)))
    answers = self.server.answers.get(path)
    if answers is None:
      answers = [status(404, b"no such file")]
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    with contextlib.suppress(ConnectionError):  # The other side may hang up.
      answer(self)

  def say(self, status, body=b"", length=None, **headers):
    """Sends a whole answer; `length` is what it claims to have."""
    self.send_response(status)
    length = len(body) if length is None else length
    self.send_header("Content-Length", str(length))
    self.send_header("Connection", "close")
    for name, value in headers.items():
      self.send_header(name.replace("_", "-"), value)
    self.end_headers()
    self.wfile.write(body)

  def log_message(self, *_):
    """Keeps quiet."""


class Server(http.server.ThreadingHTTPServer):
  """Answers by path, each a list whose last element is for ever."""

  daemon_threads = True

  def __init__(self):
    super().__init__(("127.0.0.1", 0), Handler)
    self.answers: dict[str, list[Answer]] = {}
    self.asked: list[tuple[str, dict[str, str]]] = []

  def url(self, path: str) -> str:
    """Returns the address of a path."""
    return f"http://127.0.0.1:{self.server_port}{path}"

  def paths(self) -> list[str]:
    """Returns the paths that were asked for."""
    return [path for path, _ in self.asked]

  def handle_error(self, *_):
    """Keeps quiet: a client that hangs up is what some tests are about."""


@contextlib.contextmanager
def running() -> Iterator[Server]:
  """Yields a server that answers."""
  server = Server()
  thread = threading.Thread(
    target=server.serve_forever, kwargs={"poll_interval": 0.01}
  )
  thread.start()
  try:
    yield server
  finally:
    server.shutdown()
    thread.join()
    server.server_close()


def file(data: bytes, etag: str = '"1"', cut: int | None = None, **headers):
  """Returns an honest answer: ranges, and what they depend on, are kept.

  Args:
    data: of the file.
    etag: of this version of it.
    cut: bytes after which it breaks off.
    **headers: to send too.
  """

  def answer(handler):
    wanted = handler.headers.get("Range")
    fits = handler.headers.get("If-Range", etag) == etag
    if etag:
      headers["ETag"] = etag
    if wanted is None or not fits:
      return handler.say(200, data[:cut], len(data), **headers)
    first = int(wanted.removeprefix("bytes=").rstrip("-"))
    if first >= len(data):
      return handler.say(416, Content_Range=f"bytes */{len(data)}")
    rest = data[first:]
    return handler.say(
      206,
      rest[:cut],
      len(rest),
      Content_Range=f"bytes {first}-{len(data) - 1}/{len(data)}",
      **headers,
    )

  return answer


def status(number: int, body: bytes = b"", **headers):
  """Returns an answer of a status alone."""
  return lambda handler: handler.say(number, body, **headers)


def stalled(data: bytes, seconds: float):
  """Returns an answer that sends a part, and then nothing for a while."""

  def answer(handler):
    handler.say(200, data[: len(data) // 2], len(data))
    handler.wfile.flush()
    time.sleep(seconds)

  return answer


def dripping(data: bytes, seconds: float):
  """Returns an answer that sends byte after byte, with pauses between."""

  def answer(handler):
    handler.say(200, b"", len(data))
    for i in range(len(data)):
      handler.wfile.write(data[i : i + 1])
      time.sleep(seconds)

  return answer
