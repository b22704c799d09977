"""What a server's answers mean, and what it means when there is none."""

import re
import urllib.parse
from typing import Any

from van_jax.released import addresses

A_PAGE = (
  "the server sent a web page in the file's place, to log in or confirm perhaps"
)
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_PAGE = (b"<!doctype", b"<html", b"<?xml")


class FailedError(Exception):
  """Why a file did not come; `missing` when there is none at its address."""

  def __init__(self, reason: str, *, missing: bool = False):
    super().__init__(reason)
    self.missing = missing


class BrokenError(Exception):
  """What another try may mend."""


def unreachable(error: Exception, url: str) -> Exception:
  """Returns what a failed request means."""
  import requests

  parts = urllib.parse.urlsplit(url)
  exceptions = requests.exceptions
  if isinstance(error, exceptions.ProxyError):
    proxies = requests.utils.get_environ_proxies(url)
    proxy = addresses.shown(proxies.get(parts.scheme) or proxies.get("all", ""))
    return FailedError(
      f"the proxy {proxy} (from {parts.scheme}_proxy or all_proxy) refused or "
      f"cannot be reached; set the right one, or name {parts.hostname} in "
      "no_proxy"
    )
  if isinstance(error, exceptions.SSLError):
    return FailedError(
      f"the certificate of {parts.hostname} is not trusted; where a company's "
      "proxy has its own, name its file in REQUESTS_CA_BUNDLE"
    )
  if isinstance(error, exceptions.Timeout):
    return BrokenError(f"{parts.hostname} does not answer in time")
  if isinstance(error, exceptions.ConnectionError):
    return BrokenError(
      f"there is no connection to {parts.hostname}; look after the network, or "
      f"name a proxy in {parts.scheme}_proxy"
    )
  return FailedError(f"it cannot be asked for: {error}")


def told_hash(response: Any) -> str:
  """Returns the SHA-256 that Hugging Face's hub tells of a file, or ""."""
  tag = response.headers.get("X-Linked-Etag", "").strip('"')
  return tag if re.fullmatch("[0-9a-f]{64}", tag) else ""


def check_status(response: Any) -> None:
  """Raises unless the answer is the file, or a part of it."""
  status = response.status_code
  if status in (200, 206):
    if response.headers.get("Content-Encoding", "identity") != "identity":
      raise FailedError("the server sent it compressed, and was asked not to")
    if "text/html" in response.headers.get("Content-Type", "").lower():
      raise FailedError(A_PAGE)
    return
  said = f"the server answered {status} {response.reason or ''}".rstrip()
  if status in _AGAIN:
    raise BrokenError(said)
  if status in (404, 410):
    raise FailedError(f"{said}: there is no such file", missing=True)
  if status in (401, 403):
    raise FailedError(
      f"{said}: it is not there, or not for everybody; with an account of "
      "Hugging Face, HF_TOKEN opens what it may read"
    )
  raise FailedError(said)


def is_page(data: bytes) -> bool:
  """Returns whether a file that begins so is a web page."""
  return data.lstrip()[:9].lower().startswith(_PAGE)


def total(response: Any, here: int) -> int | None:
  """Returns how many bytes the file has, where the server tells."""
  if response.status_code == 206:
    return content_range(response)[1]
  length = response.headers.get("Content-Length", "")
  return here + int(length) if length.isdecimal() else None


def content_range(response: Any) -> tuple[int | None, int | None]:
  """Returns the first byte and the number of all, where they are told."""
  text = response.headers.get("Content-Range", "")
  match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", text.strip())
  if match is None:
    return None, None
  return tuple(int(n) if n else None for n in match.groups())  # pyright: ignore
