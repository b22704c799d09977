"""Where the VANs are in a tree of a model's variables.

A VAN may be a part of a model: its parameters then lie below a prefix, such as
"backbone/", and beside those of a head that is not a VAN's.
"""

import re
from collections.abc import Mapping
from typing import Any

BLOCK = re.compile(r"block(\d+)_(\d+)")


def find(tree: Any) -> list[str]:
  """Returns the prefixes of the VANs in a tree of parameters.

  Args:
    tree: nested mappings, named as a "params" collection.

  Returns:
    "" for a tree that is a VAN's own, else each path with a slash at its end.
    Empty where no blocks are.
  """
  if not isinstance(tree, Mapping):
    return []
  names = [str(name) for name in tree]
  if "patch_embed1" in names and any(map(BLOCK.fullmatch, names)):
    return [""]
  return [
    f"{name}/{inner}" for name, below in tree.items() for inner in find(below)
  ]


def subtree(tree: Any, prefix: str) -> Any:
  """Returns what lies below a prefix of `find`."""
  for name in prefix.split("/")[:-1]:
    tree = tree[name]
  return tree
