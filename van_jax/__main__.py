"""The scripts of an installed van_jax, wherever one stands.

  python -m van_jax train --config=configs/digits.py --workdir=runs/digits
  python -m van_jax keys

"train", "eval" and "convert_torch_weights" are the scripts of that name, with
their flags; "keys" prints every config key with its unit.
"""

import runpy
import sys

from van_jax.cli import config_files

_SCRIPTS = ("train", "eval", "convert_torch_weights")
_KEYS = "keys"


def main(arguments: list[str]) -> None:
  """Starts the script that the first argument names.

  Args:
    arguments: `sys.argv`.
  """
  name = [*arguments[1:], "--help"][0]
  if name == _KEYS:
    print((config_files.home() / "configs" / "default.py").read_text(), end="")
  elif name in _SCRIPTS:
    script = config_files.home() / f"{name}.py"
    sys.argv = [str(script), *arguments[2:]]
    runpy.run_path(str(script), run_name="__main__")
  elif name.lstrip("-") in ("help", "h"):
    print(__doc__)
  else:
    known = ", ".join((*_SCRIPTS, _KEYS))
    sys.exit(f"error: python -m van_jax {name}: there are {known}.")


if __name__ == "__main__":
  main(sys.argv)
