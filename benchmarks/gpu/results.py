"""Results of the GPU benchmark, kept as they come: JSON and tables."""

import json
import os
import pathlib
import threading
import time
from typing import Any

from benchmarks.gpu import tables


class Results:
  """What is known until now, on disk as well.

  Attributes:
    about: of the machine.
    rows: of each part.
    states: how each part has gone.
  """

  def __init__(self, folder: pathlib.Path, about: dict[str, Any]):
    folder.mkdir(parents=True, exist_ok=True)
    self._folder = folder
    self._start = time.monotonic()
    self._lock = threading.Lock()  # Parts tell rows at the same time.
    self.about = about
    self.rows: dict[str, list[dict[str, Any]]] = {}
    self.states: dict[str, str] = {}
    self._save()

  def add(self, part: str, row: dict[str, Any]) -> None:
    """Keeps a row."""
    with self._lock:
      self.rows.setdefault(part, []).append(row)
      self._save()

  def tell(self, part: str, state: str) -> None:
    """Keeps how a part has gone, and prints it."""
    passed = time.monotonic() - self._start
    print(f"[{passed:5.0f} s] {part}: {state}", flush=True)
    with self._lock:
      self.states[part] = state
      self._save()

  def tables(self) -> str:
    """Returns all tables, in Markdown."""
    return tables.page(self.about, self.states, self.rows)

  def _save(self) -> None:
    whole = {"about": self.about, "parts": self.states, "rows": self.rows}
    profiles = tables.profiles(self.rows)
    for name, text in (
      ("results.json", json.dumps(whole, indent=1)),
      ("table.md", self.tables()),
      ("profile.md", profiles),
    ):
      beside = self._folder / f".{name}"
      beside.write_text(text)
      os.replace(beside, self._folder / name)
