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
  "errors": -3,  # Below all: every room may raise one.
  "retrying": -2,  # Below storage, whose paths it tries again.
  "storage": -1,  # Below places, which are its paths.
  "host_memory": 0,
  "imports": 0,
  "signatures": 0,
  "places": 0,
  "models": 1,
  "data": 1,
  "parallel": 1,
  "training": 2,
  "evaluation": 2,
  "bundle": 2,
  "tasks": 2,
  "interop": 3,
  "analysis": 3,
  "deployment": 3,
  "lab": 3,
  "released": 4,
  "cli": 4,
  "experiment": 5,
  "__main__": 6,  # Starts the scripts.
  "export": 6,  # A command, which may export a training run.
  "sweeps": 6,  # Starts train.py, once a run.
  "sweep": 7,  # The command of `sweeps`.
  # A command in data's folder, for its name: it starts what reads the config,
  # and so stands above all. Nothing imports it.
  "data/preview": 6,
  # Commands in the folder of what they draw, and what they do: workdirs are
  # read. Nothing imports the commands.
  "analysis/pictures": 6,
  "analysis/attention": 7,
  "analysis/gradcam": 7,
  "analysis/masks": 7,
  "analysis/receptive_field": 7,
  "analysis/kernels": 7,
  # Another, which names models by their shapes.
  "ops/check": 2,
  # Another: the page that it writes is made of what lies lower.
  "analysis/report/__main__": 6,
}

# Rooms within a room, the same way: siblings of one height never meet.
INNER_FLOORS = {
  "ops/cpu": 0,
  "ops/gpu": 0,
  "ops/tpu": 0,
  "analysis/program": 0,
  "analysis/drawing": 0,
  "analysis/inside": 0,
  "data/images": 0,
  "analysis/report": 0,
  "data/sources": 0,
  "data/augment": 1,
  "data/pipeline": 2,
  "training/recipe": 0,
  "training/run": 0,
  "interop/readers": 0,
  "interop/names": 1,
  "interop/facts": 2,
  "interop/assignment": 3,  # Of tensors to arrays: needs names and facts.
  "interop/proof": 4,
  "experiment/dry_run": 0,
}

# Rooms that only the room around them enters.
PRIVATE = ("ops/cpu", "ops/gpu", "ops/tpu")

# Library: the only files that import it; a folder is a room.
DOORS = {
  "numba": ("data/images/pixels", "ops/cpu"),
  "tensorflow": ("data", "deployment/saved_model.py"),
  "tensorflow_datasets": ("data",),
  "jax2onnx": ("deployment/onnx_model.py",),
  "onnx": ("deployment/onnx_model.py",),
  "orbax": (
    "training/run/checkpoint.py",
    "training/run/kept.py",
    "training/run/restoring.py",
    "training/run/saving.py",
    "bundle",
  ),
  "clu": ("training/run/metrics.py",),
  "torch": ("interop",),
  "ml_collections": ("experiment", "data/preview", "sweep", "sweeps"),
  "matplotlib": ("analysis/drawing",),
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


def parts_of(path):
  return path.relative_to(PACKAGE).with_suffix("").parts


def room(parts):
  """Returns the room of a module's path, a file's own if it has one."""
  own = ("/".join(parts[:length]) for length in (3, 2))
  return next((name for name in own if name in FLOORS), parts[0])


def ours(path):
  """Returns the paths of our modules that a file imports, as parts."""
  names = (module.split(".") for module in imports(path))
  return [tuple(parts) for package, *parts in names if package == "van_jax"]


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_imports_point_down(path):
  own = room(parts_of(path))
  if own == "__init__":
    return
  for parts in ours(path):
    if parts and room(parts) != own:
      assert FLOORS[room(parts)] < FLOORS[own], f"{name_of(path)}: {parts}"


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_imports_point_down_within_a_room(path):
  own = "/".join(parts_of(path)[:2])
  for parts in ours(path):
    other = "/".join(parts[:2])
    same_room = own.split("/")[0] == other.split("/")[0] and own != other
    if same_room and own in INNER_FLOORS and other in INNER_FLOORS:
      down = INNER_FLOORS[other] < INNER_FLOORS[own]
      assert down, f"{name_of(path)}: {parts}"


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_kernels_are_entered_from_their_operations_alone(path):
  for parts in ours(path):
    for private in PRIVATE:
      if "/".join(parts[:2]) == private:
        assert parts_of(path)[0] == parts[0], f"{name_of(path)}: {parts}"


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_heavy_libraries_have_one_door(path):
  name = name_of(path)
  for module in imports(path):
    doors = DOORS.get(module.split(".")[0])
    if doors is not None:
      folders = [f"{door.removesuffix('.py')}" for door in doors]
      inside = any(
        name == f"{folder}.py" or name.startswith(f"{folder}/")
        for folder in folders
      )
      assert inside, f"{name}: {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")))
def test_configs_are_data(path):
  for module in imports(path):
    allowed = ("configs", "ml_collections", "typing")
    assert module.split(".")[0] in allowed, module
  tree = ast.parse(path.read_text())
  for node in ast.walk(tree):
    assert not isinstance(node, ast.If | ast.For | ast.While), path
  for function in ast.walk(tree):
    if isinstance(function, ast.FunctionDef):
      keys = [
        ast.unparse(target)
        for node in function.body
        if isinstance(node, ast.Assign)
        for target in node.targets
      ]
      assert len(keys) == len(set(keys)), f"{path}: a key is set twice"


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_init_files_define_nothing(path):
  if path.name == "__init__.py":
    kinds = (ast.Import, ast.ImportFrom, ast.Expr)
    for node in ast.parse(path.read_text()).body:
      names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0])
      fine = isinstance(node, kinds) or names == "__all__"
      assert fine, f"{name_of(path)} defines something"


def test_importing_the_package_needs_jax_flax_and_optax_only():
  heavy = [*DOORS, "sklearn"]
  program = (
    "import sys, van_jax, van_jax.models;"
    f"print([m for m in {heavy} if m in sys.modules])"
  )
  # flax imports orbax by itself, whatever we do.
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
