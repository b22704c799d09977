"""The house in numbers: rooms, lines, longest, cycles; what an addition costs.

  python benchmarks/house.py --tree=CHECKOUT
  python benchmarks/house.py --tree=CHECKOUT --costs

Reads source alone, of this checkout or an older one, and imports none of it. A
line of code is one that is not empty, a comment or part of a docstring.

Import cycles: groups of modules that reach one another, by the imports at the
top of files, and by those inside of functions too. An import of a package
counts as one of its `__init__.py`; that Python runs the `__init__.py` of all
packages above does not.

--costs says what a thing of a kind cost that is in the tree: all code of its
definition, and the lines outside of it that name it in the rooms listed. Where
a tree has one thing of the kind without a name (the attention, optimizer and
task of 0.1.0), the words are those that only this thing has, and what is
counted are the places that know them: a second thing has to touch these at
least, and needs a definition of its own besides. Tests, documents and the
translation of published weights (`interop`) are left out.
"""

import ast
import collections
import io
import pathlib
import re
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

from absl import app, flags

_TREE = flags.DEFINE_string(
  "tree", str(pathlib.Path(__file__).parent.parent), "Checkout to look at."
)
_COSTS = flags.DEFINE_bool("costs", False, "What an addition costs, instead.")
PACKAGE = "van_jax"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Thing(NamedTuple):
  """Something in a tree, and how it is known.

  Attributes:
    kind: what a second one would be.
    path: of the file that defines it.
    symbol: the function in that file; "" for all of it.
    words: regular expression of the code that names it elsewhere.
    rooms: the folders and files that are searched for it.
  """

  kind: str
  path: str
  symbol: str
  words: str
  rooms: tuple[str, ...] = (PACKAGE, "configs", "train.py", "eval.py")


_MODEL_ROOMS = (
  f"{PACKAGE}/models",
  f"{PACKAGE}/ops",
  f"{PACKAGE}/bundle",
  f"{PACKAGE}/bundle.py",
  f"{PACKAGE}/training",
  f"{PACKAGE}/analysis",
  f"{PACKAGE}/experiment",
  "configs",
)

# Of each kind, the first that the tree has.
THINGS = (
  Thing(
    "(a) attention",
    f"{PACKAGE}/models/attention/msca.py",
    "",
    r"\bmsca\b|\bMultiScaleConvAttention\b",
    _MODEL_ROOMS,
  ),
  Thing(
    "(a) attention",
    f"{PACKAGE}/models/lka.py",
    "",
    r"\b(gate|lka_convs|lka|LargeKernelAttention)\b",
    _MODEL_ROOMS,
  ),
  Thing(
    "(b) optimizer",
    f"{PACKAGE}/training/recipe/optimizers.py",
    "lion",
    r"\blion\b",
  ),
  Thing(
    "(b) optimizer",
    f"{PACKAGE}/training/optimizer.py",
    "create_optimizer",
    r"\b(beta1|beta2|epsilon|scale_by_adam)\b",
    (f"{PACKAGE}/training", f"{PACKAGE}/experiment", "configs"),
  ),
  Thing(
    "(c) augmentation operation",
    f"{PACKAGE}/data/images/pixels/tones.py",
    "posterize",
    r"(?i)\bposterize\b",
  ),
  Thing(
    "(c) augmentation operation",
    f"{PACKAGE}/data/pixels/tones.py",
    "posterize",
    r"(?i)\bposterize\b",
  ),
  Thing(
    "(d) source",
    f"{PACKAGE}/data/sources/folder.py",
    "",
    r"\"folder\"|\bfolder\.[A-Za-z]|import folder\b|\bfolder,",
    (f"{PACKAGE}/data",),
  ),
  Thing(
    "(d) source",
    f"{PACKAGE}/data/folder.py",
    "",
    r"\"folder\"|\bfolder\.[A-Za-z]|import folder\b|\bfolder,",
    (f"{PACKAGE}/data",),
  ),
  Thing(
    "(e) task",
    f"{PACKAGE}/tasks/classification.py",
    "",
    r"\"classification\"|import classification\b|\bclassification\.",
  ),
  Thing(
    "(e) task",
    f"{PACKAGE}/training/losses.py",
    "",
    r"\b(top1|top5|losses|metrics\.\w+|num_classes)\b",
    tuple(
      f"{PACKAGE}/{room}"
      for room in ("training", "evaluation", "experiment", "prediction.py")
    ),
  ),
)


def main(_) -> None:
  """Prints the tables."""
  tree = pathlib.Path(_TREE.value)
  if not (tree / PACKAGE).is_dir():
    raise app.UsageError(f"--tree={tree} holds no folder {PACKAGE}.")
  if _COSTS.value:
    print_costs(tree)
  else:
    print_rooms(tree)
    print_longest(tree)
    print_cycles(tree)


def print_rooms(tree: pathlib.Path) -> None:
  """Prints Python files a folder of the package, and lines of all rooms."""
  files = list((tree / PACKAGE).rglob("*.py"))
  folders = collections.Counter(
    path.parent.relative_to(tree).as_posix() for path in files
  )
  print(f"{len(files)} files in {len(folders)} folders; the fullest first:")
  for folder, count in folders.most_common():
    print(f"{count:6d}  {folder}")
  print(f"\n{'lines':>6}  {'code':>6}")
  for room in (PACKAGE, "tests", "benchmarks", "configs"):
    paths = list((tree / room).rglob("*.py"))
    lines = sum(len(path.read_text().splitlines()) for path in paths)
    code = sum(len(code_lines(path)) for path in paths)
    print(f"{lines:6d}  {code:6d}  {room}")


def print_longest(tree: pathlib.Path) -> None:
  """Prints the package's longest file, and longest function by code."""
  files, functions = [], []
  for path in (tree / PACKAGE).rglob("*.py"):
    name = path.relative_to(tree).as_posix()
    files.append((len(path.read_text().splitlines()), name))
    code = code_lines(path)
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, FUNCTIONS):
        functions.append((len(within(code, node)), f"{name}: {node.name}"))
  print("\nlongest files, in lines; longest functions, in lines of code:")
  for rows in (files, functions):
    for length, name in sorted(rows, reverse=True)[:3]:
      print(f"{length:6d}  {name}")


def print_cycles(tree: pathlib.Path) -> None:
  """Prints groups of modules that import one another."""
  for title, inner in (("at the top", False), ("in functions too", True)):
    found = cycles(import_graph(tree, inner=inner))
    print(f"\nimport cycles, imports {title}: {len(found)}")
    for group in found:
      print(f"        {', '.join(group)}")


def print_costs(tree: pathlib.Path) -> None:
  """Prints what a thing of each kind cost."""
  print("files  lines  of a thing's code: its definition, and what names it")
  done = set()
  for thing in THINGS:
    if thing.kind in done or not defined(tree, thing):
      continue
    done.add(thing.kind)
    places = cost(tree, thing)
    shown = f"{thing.path} {thing.symbol}".strip()
    print(f"{len(places):5d}  {sum(places.values()):5d}  {thing.kind}: {shown}")
    for name, count in sorted(places.items()):
      print(f"              {count:4d}  {name}")


def defined(tree: pathlib.Path, thing: Thing) -> bool:
  """Returns whether the tree has a thing's definition."""
  path = tree / thing.path
  return path.is_file() and (not thing.symbol or bool(_symbol(path, thing)))


def cost(tree: pathlib.Path, thing: Thing) -> dict[str, int]:
  """Returns the lines of code of a thing, by file."""
  places = collections.Counter()
  for path in _files(tree, thing.rooms):
    name = path.relative_to(tree).as_posix()
    code = code_lines(path)
    own = {}
    if name == thing.path:
      node = _symbol(path, thing) if thing.symbol else None
      own = within(code, node) if node else code
    named = {n for n, line in code.items() if re.search(thing.words, line)}
    if count := len(named | own.keys()):
      places[name] = count
  return dict(places)


def code_lines(path: pathlib.Path) -> dict[int, str]:
  """Returns a file's lines of code by number, without their comments."""
  text = path.read_text()
  docstrings = set()
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
      docstrings |= set(range(node.lineno, (node.end_lineno or 0) + 1))
  lines = text.splitlines()
  for token in tokenize.generate_tokens(io.StringIO(text).readline):
    if token.type == tokenize.COMMENT:
      row, column = token.start
      lines[row - 1] = lines[row - 1][:column]
  return {
    number: line
    for number, line in enumerate(lines, start=1)
    if line.strip() and number not in docstrings
  }


def within(code: dict[int, str], node: ast.AST) -> dict[int, str]:
  """Returns the lines of code that a node of the same file takes."""
  first, last = node.lineno, node.end_lineno  # pyright: ignore
  return {n: line for n, line in code.items() if first <= n <= last}


def import_graph(tree: pathlib.Path, *, inner: bool) -> dict[str, set[str]]:
  """Returns the modules that each module of the package imports.

  Args:
    tree: the checkout.
    inner: whether imports inside of functions count.
  """
  paths = {_module(tree, p): p for p in (tree / PACKAGE).rglob("*.py")}
  graph = {}
  for module, path in paths.items():
    named = {
      next((m for m in names if m in paths), None)
      for names in _imports(ast.parse(path.read_text()), inner=inner)
    }
    graph[module] = named - {None, module}
  return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
  """Returns the groups of two or more that reach one another, sorted."""
  reached = {module: _reached(graph, module) for module in graph}
  groups = {
    tuple(sorted(o for o in reached[m] if m in reached[o]))
    for m in graph
    if m in reached[m]
  }
  return sorted(map(list, groups))


def _reached(graph: dict[str, set[str]], module: str) -> set[str]:
  found, front = set(), [module]
  while front:
    new = graph[front.pop()] - found
    found |= new
    front += new
  return found


def _imports(tree: ast.AST, *, inner: bool) -> Iterator[tuple[str, ...]]:
  """Yields what each import may name, the likelier module first."""
  for node in ast.iter_child_nodes(tree):
    if isinstance(node, ast.Import):
      yield from ((alias.name,) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      for alias in node.names:
        yield (f"{node.module}.{alias.name}", node.module)
    elif inner or not isinstance(node, (*FUNCTIONS, ast.Lambda)):
      yield from _imports(node, inner=inner)


def _module(tree: pathlib.Path, path: pathlib.Path) -> str:
  parts = path.relative_to(tree).with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _symbol(path: pathlib.Path, thing: Thing) -> ast.AST | None:
  for node in ast.parse(path.read_text()).body:
    if isinstance(node, FUNCTIONS) and node.name == thing.symbol:
      return node
  return None


def _files(tree: pathlib.Path, rooms: tuple[str, ...]) -> list[pathlib.Path]:
  found = []
  for room in rooms:
    path = tree / room
    found += [path] if path.is_file() else sorted(path.rglob("*.py"))
  return found


if __name__ == "__main__":
  app.run(main)
