"""The floors of the house: imports point down, heavy ones have one door."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "van_jax"

# Room: its floor. A room imports rooms of lower floors, and itself.
FLOORS = {
  "ops": 0,
  "paths": 0,
  "schema": 0,
  "flag_parsing": 1,
  "models": 1,
  "data": 1,
  "training": 2,
  "evaluation": 2,
  "interop": 2,
  "analysis": 2,
  "bundle": 2,
  "prediction": 3,
  "experiment": 3,
  "command": 3,
  "conversion": 4,
  # A command in data's folder, for its name: it starts what reads the config,
  # and so stands above all. Nothing imports it.
  "data/preview": 4,
}

# Library: the only files that import it; a folder is a room.
DOORS = {
  "numba": ("data", "ops"),
  "tensorflow": ("data",),
  "tensorflow_datasets": ("data",),
  "orbax": ("training/checkpoint.py", "bundle.py"),
  "clu": ("experiment/training.py",),
  "torch": ("interop",),
  "ml_collections": ("experiment", "data/preview.py"),
  "matplotlib": ("analysis",),
}


def files():
  return sorted(PACKAGE.rglob("*.py"))


def imports(path):
  """Returns the modules that a file names in import statements."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: write imports in full"
      found |= {f"{node.module}.{alias.name}" for alias in node.names}
  return found


def name_of(path):
  return path.relative_to(PACKAGE).as_posix()


def room_of(path):
  return room(path.relative_to(PACKAGE).with_suffix("").parts)


def room(parts):
  """Returns the room of a module's path, a file's own if it has one."""
  own = "/".join(parts[:2])
  return own if own in FLOORS else parts[0]


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_imports_point_down(path):
  own = room_of(path)
  if own == "__init__":
    return
  for module in imports(path):
    package, *parts = module.split(".")
    if package != "van_jax" or not parts or room(parts) == own:
      continue
    assert FLOORS[room(parts)] < FLOORS[own], f"{name_of(path)}: {module}"


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_heavy_libraries_have_one_door(path):
  for module in imports(path):
    doors = DOORS.get(module.split(".")[0])
    if doors is not None:
      name = name_of(path)
      assert name in doors or room_of(path) in doors, f"{name}: {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")))
def test_configs_are_data(path):
  for module in imports(path):
    allowed = ("configs", "ml_collections", "typing")
    assert module.split(".")[0] in allowed, module


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_init_files_define_nothing(path):
  if path.name == "__init__.py":
    kinds = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign)
    for node in ast.parse(path.read_text()).body:
      assert isinstance(node, kinds), f"{name_of(path)} defines something"


def test_importing_the_package_needs_jax_and_flax_only():
  heavy = [*DOORS, "optax", "sklearn"]
  program = (
    "import sys, van_jax, van_jax.models;"
    f"print([m for m in {heavy} if m in sys.modules])"
  )
  # flax imports orbax and optax by itself, whatever we do.
  baseline = (
    f"import sys, flax; print([m for m in {heavy} if m in sys.modules])"
  )
  ours, flax = (
    subprocess.run(
      [sys.executable, "-c", text],
      capture_output=True,
      text=True,
      check=True,
      cwd=ROOT,
    ).stdout
    for text in (program, baseline)
  )
  assert ours == flax
