"""Small pickles that ask for endless work get one line, at once."""

import pickle
import resource
import time

import pytest

from van_jax import errors
from van_jax.interop import convert as conversion
from van_jax.interop.readers import excerpts

_LIST = pickle.dumps(list(range(300_000)), protocol=2)[2:-1]  # 1 MB.
_TEXT = b"X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20)
# Name: a program, and what it is refused for.
PROGRAMS = {
  "a key nested 200,000 deep": (b"}N" + b"\x85" * 200_000 + b"Ns.", "Unusable"),
  "a key of two to the 40 parts": (b"}N" + b"2\x86" * 40 + b"Ns.", "Unusable"),
  "a value of two to the 40 parts": (b"}K\x01N" + b"2\x86" * 40 + b"s.", "VAN"),
  "lists 5,000 deep": (b"]" * 5000 + b"a" * 4999 + b".", "deeper than 100"),
  "a set of what is deep": (
    b"\x8f(N" + b"\x85" * 100_000 + b"\x90.",
    "deeper than 100",
  ),
  "pairs with a deep key": (
    b"ccollections\nOrderedDict\n](N" + b"\x85" * 100_000 + b"Ne\x85\x85R.",
    "Unusable",
  ),
  "a list copied 600 times": (
    b"](cbuiltins\ntuple\nq\x01" + _LIST + b"q\x020" + b"h\x01h\x02\x85R" * 600
    + b"e.",
    "more than 4,000,000 parts",
  ),
  "a text copied 600 times": (
    b"](c_codecs\nencode\nq\x01" + _TEXT + b"q\x020" + b"h\x01h\x02\x85R" * 600
    + b"e.",
    "copies more text than it has",
  ),
  "a number of a million digits": (
    b"\x8b" + (1 << 20).to_bytes(4, "little") + b"\x7f" * (1 << 20) + b".",
    "too many digits",
  ),
  "bytes that are not there": (b"B\xff\xff\xff\xffa.", "cut short"),
  "more bytes than there are": (b"\x8e" + b"\xff" * 7 + b"\x7fa.", "cut short"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_endless_work_is_refused_at_once(name, tmp_path):
  program, match = PROGRAMS[name]
  (tmp_path / "w").write_bytes(b"\x80\x04" + program)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  start = time.perf_counter()
  with pytest.raises(errors.UserError, match=match) as caught:
    conversion.read_weights(tmp_path / "w")
  # The slowest takes half a second on a quiet core.
  assert time.perf_counter() - start < 20
  after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert after - before < 200 << 10  # KB.
  assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
  "program",
  [
    b"}X\x00\x10\x00\x00" + b"\x1b[2J" * 1024 + b"Ns.",
    b"}(X\x06\x00\x00\x00\x1b[31m\nNu.",
    b"c" + b"a" * 100_000 + b"\n\x1b[2J" * 2 + b"\n.",
    b"}X\x05\x00\x00\x00\xed\xa0\x80zzNs.",
  ],
)
def test_parts_of_a_file_are_shown_short_and_printable(program, tmp_path):
  (tmp_path / "w").write_bytes(b"\x80\x04" + program)
  with pytest.raises(errors.UserError) as caught:
    conversion.read_weights(tmp_path / "w")
  assert str(caught.value).isprintable()
  assert len(str(caught.value)) < 1000


def test_excerpts_show_what_is_safe_to_show():
  assert excerpts.excerpt("block1.0.norm1") == "block1.0.norm1"
  assert excerpts.excerpt("a\nb") == "a\\nb"
  assert excerpts.excerpt("a" * 200) == "a" * 100 + "..."
  assert excerpts.excerpt(3) == "3"
  assert excerpts.excerpt(10**5000) == "a huge number"
  assert excerpts.excerpt([[]]) == "a list"
  assert excerpts.listed("abcdefg") == "a, b, c, d, e, ..."
