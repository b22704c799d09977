"""The scripts of an installed van_jax, wherever one stands.

  python -m van_jax train --config=configs/digits.py --workdir=runs/digits
  python -m van_jax keys [segmentation]

"train", "eval" and "convert_torch_weights" are the scripts of that name, with
their flags; "keys" prints every config key with its unit, or those that a
config of images with masks has otherwise.
"""

import runpy
import sys

from van_jax.cli import config_files

_SCRIPTS = ("train", "eval", "convert_torch_weights")
_KEYS = "keys"
_KINDS = ("default", "segmentation")  # Of configs.


def main(arguments: list[str]) -> None:
  """Starts the script that the first argument names.

  Args:
    arguments: `sys.argv`.
  """
  name = [*arguments[1:], "--help"][0]
  if name == _KEYS:
    _print_keys([*arguments[2:], _KINDS[0]][0])
  elif name in _SCRIPTS:
    script = config_files.home() / f"{name}.py"
    sys.argv = [str(script), *arguments[2:]]
    runpy.run_path(str(script), run_name="__main__")
  elif name.lstrip("-") in ("help", "h"):
    print(__doc__)
  else:
    known = ", ".join((*_SCRIPTS, _KEYS))
    sys.exit(f"error: python -m van_jax {name}: there are {known}.")


def _print_keys(kind: str) -> None:
  if kind not in _KINDS:
    listed = ", ".join(_KINDS)
    sys.exit(f"error: python -m van_jax {_KEYS} {kind}: there are {listed}.")
  path = config_files.home() / "configs" / f"{kind}.py"
  print(path.read_text(), end="")


if __name__ == "__main__":
  main(sys.argv)
