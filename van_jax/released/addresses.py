"""Addresses of files: which are fetched, from where, and under what name."""

import dataclasses
import os
import re
import urllib.parse

from van_jax import errors

_HUB = "hf://"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BY_HAND = {  # Hosts that show a page where a program wants a file.
  "drive.google.com": "Google Drive asks a person to confirm",
  "docs.google.com": "Google Drive asks a person to confirm",
  "pan.baidu.com": "Baidu asks a person to log in",
}
# Not a date, though that has eight digits too.
_HASHED = re.compile(r"-(?!(?:19|20)\d{6}\.)([0-9a-f]{8,64})\.[a-z.]+$")
_HUB_FILE = r"[\w-][\w.-]*(?:/[\w-][\w.-]*)*"
_HUB_PATH = re.compile(
  r"(?P<owner>[\w-][\w.-]*)/(?P<name>[\w-][\w.-]*)(@(?P<revision>[\w.-]+))?"
  rf"(/(?P<file>{_HUB_FILE}))?/?"
)
_LONGEST_NAME = 100


@dataclasses.dataclass(frozen=True)
class Address:
  """Where one file is.

  Attributes:
    given: as the user or the table wrote it.
    url: to get it from.
    sha256: the beginning of its SHA-256, in hexadecimal; "" for not known.
    name: of the file, safe in any folder.
    token: for the host of `url` alone; "" for none.
    beside: names of small files that may lie beside it, and belong to it.
  """

  given: str
  url: str
  sha256: str
  name: str
  token: str = dataclasses.field(default="", repr=False)
  beside: tuple[str, ...] = ()

  def neighbour(self, name: str) -> "Address":
    """Returns the address of a file in the same folder."""
    return dataclasses.replace(
      self,
      given=urllib.parse.urljoin(self.url, name),
      url=urllib.parse.urljoin(self.url, name),
      sha256="",
      name=name,
      beside=(),
    )


@dataclasses.dataclass(frozen=True)
class Repository:
  """A repository of the Hugging Face hub, and one file of it, or ""."""

  name: str
  revision: str
  file: str

  def with_file(self, file: str) -> "Repository":
    """Returns the same, with a file."""
    return dataclasses.replace(self, file=file)

  @property
  def token(self) -> str:
    """Returns what opens what is not for everybody; "" for nothing."""
    return os.environ.get("HF_TOKEN", "").strip()

  @property
  def listing(self) -> str:
    """Returns where the hub says, as JSON, what the repository holds."""
    return f"{_endpoint()}/api/models/{self.name}/revision/{self.revision}"

  def address(self, given: str, beside: tuple[str, ...]) -> Address:
    """Returns the address of the file."""
    path = urllib.parse.quote(self.file)
    return Address(
      given=given,
      url=f"{_endpoint()}/{self.name}/resolve/{self.revision}/{path}",
      sha256=_hash_in(self.file),
      name=_safe(self.file),
      token=self.token,
      beside=beside,
    )


def is_address(text: str) -> bool:
  """Returns whether a text is an address of the web, or wants to be one."""
  return text.lower().startswith((_HUB, "https://", "http://"))


def repository(text: str) -> Repository | None:
  """Returns what an address of the Hugging Face hub names; None for others.

  Raises:
    UserError: if it is not hf://OWNER/NAME[@REVISION][/FILE].
  """
  if not text.lower().startswith(_HUB):
    return None
  match = _HUB_PATH.fullmatch(text[len(_HUB) :])
  if match is None:
    raise errors.UserError(
      f"{text} must be hf://OWNER/NAME, hf://OWNER/NAME/FILE, or with a "
      "revision hf://OWNER/NAME@REVISION/FILE."
    )
  return Repository(
    name=f"{match['owner']}/{match['name']}",
    revision=match["revision"] or "main",
    file=match["file"] or "",
  )


def is_file_of_hub(text: str) -> bool:
  """Returns whether a hub's file has a name that an address can have."""
  return re.fullmatch(_HUB_FILE, text) is not None


def web(text: str, beside: tuple[str, ...] = ()) -> Address:
  """Returns an https:// address.

  Raises:
    UserError: if it cannot be fetched by a program, or safely.
  """
  check(text, text)
  path = urllib.parse.unquote(urllib.parse.urlsplit(text).path)
  return Address(
    given=text, url=text, sha256=_hash_in(path), name=_safe(path), beside=beside
  )


def check(url: str, given: str) -> None:
  """Raises UserError unless a program may fetch `url`; `given` led there."""
  try:
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    _ = parts.port
  except ValueError as error:
    raise errors.UserError(
      f"{shown(given)} is not an address: {error}."
    ) from error
  where = shown(given) if url == given else f"{shown(given)} leads to {url}: it"
  if reason := _BY_HAND.get(host):
    raise errors.UserError(
      f"{where} cannot be fetched by a program: {reason}; fetch it with a "
      "browser, and give the file's path."
    )
  if parts.scheme == "http" and host in _LOOPBACK:
    return
  if parts.scheme != "https" or not host:
    raise errors.UserError(
      f"{where} must be an https:// address, so that nobody on the way can "
      "change the file; fetch it by hand if you trust it, and give the file's "
      "path."
    )


def shown(url: str) -> str:
  """Returns an address without a user's name and password."""
  return re.sub(r"(?<=://)[^/@\s]*@", "", url)


def without_secrets(url: str) -> str:
  """Returns an address to keep: no password, and no signed query."""
  return shown(url).partition("?")[0]


def _endpoint() -> str:
  """Returns where the hub is; HF_ENDPOINT names a mirror, as for others."""
  endpoint = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/")
  if endpoint:  # Which the token is sent to.
    check(endpoint, endpoint)
  return endpoint or "https://huggingface.co"


def _hash_in(path: str) -> str:
  """Returns the digits that OpenMMLab's and torch.hub's names end in."""
  match = _HASHED.search(path)
  return match[1] if match else ""


def _safe(path: str) -> str:
  """Returns the last part of a path as a name that stays in its folder."""
  name = path.rstrip("/").rpartition("/")[2]
  name = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")
  return name[-_LONGEST_NAME:].lstrip(".") or "weights"
