"""An installed van_jax, away from its repository: scripts and configs too."""

import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

import pytest

from van_jax import __main__

ROOT = pathlib.Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
USERS_CONFIG = """
from configs import digits

def get_config():
  return digits.get_config()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
  """Returns a folder with what a wheel installs, laid out as pyproject says."""
  folder = tmp_path_factory.mktemp("site")
  wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
  for package in wheel["packages"]:
    shutil.copytree(ROOT / package, folder / package)
  for source, target in wheel["force-include"].items():
    copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
    (folder / target).parent.mkdir(exist_ok=True)
    copy(ROOT / source, folder / target)
  return folder


@pytest.fixture
def start(tmp_path):
  """Returns a function that runs a module in a folder that is not ours."""
  here = tmp_path / "here"
  here.mkdir()
  (here / "mine.py").write_text(USERS_CONFIG)

  def start(path, *arguments):
    return subprocess.run(
      [sys.executable, "-m", *arguments],
      capture_output=True,
      text=True,
      cwd=here,
      env=os.environ | {"PYTHONPATH": str(path)},
    )

  return start


def test_an_installed_package_trains_on_the_configs_that_come_along(
  site, start
):
  process = start(
    site,
    *("van_jax", "train", "--config=configs/digits.py", "--workdir=w"),
    "--config.batch_size=0",
  )
  assert process.returncode == 1
  assert process.stderr == "error: config.batch_size=0 must be above 0.\n"


@pytest.mark.parametrize("where", ["site", "checkout"])
def test_a_users_config_that_starts_from_ours_is_taken_by_preview(
  where, site, start
):
  process = start(
    {"site": site, "checkout": ROOT}[where],
    *("van_jax.data.preview", "--config=mine.py", "--output=x.png"),
    "--config.batch_size=0",
  )
  assert process.stderr == "error: config.batch_size=0 must be above 0.\n"


def test_the_wheel_has_every_script_and_config():
  wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
  scripts = {file.name for file in ROOT.glob("*.py")}
  assert set(wheel["force-include"]) == {"configs", *scripts}


def test_pythons_that_tensorflow_has_no_wheels_for_are_refused():
  assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"


@pytest.mark.parametrize(
  ("arguments", "file"),
  [([], "default.py"), (["segmentation"], "segmentation.py")],
)
def test_all_keys_are_printed_as_their_config_has_them(capsys, arguments, file):
  __main__.main(["van_jax", "keys", *arguments])
  assert capsys.readouterr().out == (ROOT / "configs" / file).read_text()


def test_keys_of_a_kind_that_there_is_not_are_an_error():
  with pytest.raises(SystemExit, match="keys masks: there are default, segm"):
    __main__.main(["van_jax", "keys", "masks"])


def test_a_script_that_there_is_not_is_named_with_those_there_are():
  with pytest.raises(SystemExit, match=r"trane: there are train, eval, conv"):
    __main__.main(["van_jax", "trane"])
