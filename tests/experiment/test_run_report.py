"""A report of a real run: its weights scored, its command, its refusals."""

import json
import tarfile

import numpy as np
import pytest

from van_jax import analysis, errors, experiment
from van_jax.analysis.report import __main__ as command, read
from van_jax.evaluation import answer_files
from van_jax.experiment import examining


@pytest.fixture(scope="module")
def examined(finished):
  """Returns what is found of a run, and what its maps were asked about.

  The maps are of nothing, and cost nothing.
  """
  asked = []

  def grad_cam(model, variables, images, *, classes, stage):
    asked.append((images, classes, stage))
    return np.zeros(images.shape[:3], np.float32)

  def attention_maps(model, variables, images):
    sides = {f"stage{n}/block0": 2 ** (4 - n) for n in range(1, 5)}
    return {
      name: np.zeros([len(images), side, side], np.float32)
      for name, side in sides.items()
    }

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(analysis, "grad_cam", grad_cam, raising=False)
    patch.setattr(analysis, "attention_maps", attention_maps, raising=False)
    (run,) = read([finished[0]])
    found = examining.examine(run, examining.Request(images=4))
  return found, asked


@pytest.fixture
def with_predictions(run_copy, examined):
  """Returns a workdir with the answers as eval.py --predictions writes them."""
  found, _ = examined
  path = run_copy / examining.PREDICTIONS
  answer_files.write_predictions(str(path), found.answers, found.names, str)
  return run_copy


def test_answers_are_those_of_the_run_s_weights(finished, examined):
  found, _ = examined
  assert found.missing == ""
  assert len(found.answers.labels) == 42
  assert len(found.names) == 10
  right = found.answers.labels == found.answers.classes[:, 0]
  assert right.sum() / 42 == pytest.approx(finished[1]["top1"])
  assert "step 12" in found.origin


def test_maps_are_of_the_answers_to_what_the_network_sees(examined):
  found, ((images, classes, stage),) = examined
  chosen = [picture.index for picture in found.pictures]
  assert len(chosen) == 4
  np.testing.assert_array_equal(classes, found.answers.classes[chosen, 0])
  pixels = np.stack([picture.image for picture in found.pictures])
  # The config's mean and std are 0.5 and 0.5.
  np.testing.assert_allclose(images, (pixels / 255 - 0.5) / 0.5, atol=1e-6)
  assert images.shape == (4, 32, 32, 3)
  assert stage == 2  # The deepest of 4 x 4 cells or more.
  assert [*found.pictures[0].maps] == [
    "Grad-CAM, stage 2",
    "attention, stage2/block0",
  ]


def test_predictions_in_the_workdir_are_read(with_predictions, examined):
  scored, _ = examined
  (run,) = read([with_predictions])
  found = examining.examine(run, examining.Request(images=0))
  assert found.answers is not None
  np.testing.assert_array_equal(found.answers.labels, scored.answers.labels)
  np.testing.assert_array_equal(found.answers.classes, scored.answers.classes)
  # Six digits are written.
  np.testing.assert_allclose(
    found.answers.probabilities, scored.answers.probabilities, rtol=1e-5
  )


def test_predictions_of_other_data_are_refused(run_copy):
  (run_copy / examining.PREDICTIONS).write_text("image,label\n1,2\n")
  (run,) = read([run_copy])
  found = examining.examine(run, examining.Request(images=0))
  assert found.answers is None
  assert "no table of predictions" in found.missing


def test_without_data_the_page_says_why_nothing_was_scored(run_copy, tmp_path):
  path = run_copy / "config.json"
  config = json.loads(path.read_text())
  config["data"] |= {"name": "folder", "directory": str(tmp_path / "absent")}
  path.write_text(json.dumps(config))
  output = tmp_path / "page.html"
  told = experiment.write_report([run_copy], output=str(output))
  assert told == {"output": str(output), "runs": 1, "scored": 0}
  assert "Not scored: " in output.read_text()
  assert str(tmp_path / "absent") in output.read_text()


def test_a_run_without_weights_has_a_page(run_copy, tmp_path):
  for folder in ("checkpoints", "bundle"):
    (run_copy / folder).rename(tmp_path / folder)
  output = tmp_path / "page.html"
  experiment.write_report([run_copy], output=str(output))
  assert "no checkpoint yet, and no bundle" in output.read_text()


def test_a_page_is_not_overwritten_unasked(finished, tmp_path):
  output = tmp_path / "page.html"
  output.write_text("mine")
  with pytest.raises(errors.UserError, match=r"there already.*--overwrite"):
    experiment.write_report([finished[0]], output=str(output), images=0)
  assert output.read_text() == "mine"
  experiment.write_report(
    [finished[0]], output=str(output), images=0, overwrite=True
  )
  assert output.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"output": "page.txt"}, "must end with .html or .htm"),
    ({"images": -1}, "images=-1 must be a whole number, at least 0"),
    ({"images": "2"}, "images='2' must be a whole number"),
    ({"workdirs": "runs/b0"}, r"workdirs='runs/b0' must be a list of folders"),
    ({"workdirs": []}, "names no run"),
    ({"workdirs": ["absent"]}, "holds no run"),
  ],
)
def test_bad_input_is_refused_in_a_line(finished, tmp_path, changes, said):
  given = {
    "workdirs": [finished[0]],
    "output": str(tmp_path / "page.html"),
    "images": 0,
    **changes,
  }
  with pytest.raises(errors.UserError, match=said) as raised:
    experiment.write_report(**given)
  assert "\n" not in str(raised.value)
  assert not list(tmp_path.iterdir())


def test_a_single_run_is_compared_with_default_py(finished, tmp_path):
  output = tmp_path / "page.html"
  experiment.write_report([finished[0]], output=str(output), images=0)
  text = output.read_text()
  assert "<code>batch_size</code></th><td><code>1024</code></td>" in text
  assert "<code>preprocessing.crop_pct</code>" not in text  # As the default.


def test_runs_of_version_1_have_a_page(root, tmp_path):
  with tarfile.open(root / "tests/fixtures/v1/finished.tar.xz") as archive:
    archive.extractall(tmp_path, filter="data")
  output = tmp_path / "page.html"
  workdir = tmp_path / "finished"
  experiment.write_report([workdir], output=str(output), images=0)
  text = output.read_text()
  assert "It came to its end, step 12" in text
  assert "metrics.jsonl cannot be read" in text  # They had none.


def test_a_run_keeps_a_record_of_its_processes(finished):
  (run,) = read([finished[0]])
  (start,) = run.starts
  assert start["why"] == ""
  assert start["ended"] >= start["began"]


def test_the_command_writes_the_page(finished, tmp_path, capsys):
  output = tmp_path / "folder" / "page.html"
  command.main([str(finished[0]), f"--output={output}", "--images=0"])
  told = json.loads(capsys.readouterr().out)
  assert told == {"output": str(output), "runs": 1, "scored": 0}
  assert "finished" in output.read_text()


def test_the_command_ends_in_a_line(tmp_path, capsys):
  with pytest.raises(SystemExit) as end:
    command.main([str(tmp_path / "absent"), f"--output={tmp_path}/x.html"])
  assert end.value.code == 1
  error = capsys.readouterr().err.strip().splitlines()[-1]
  assert error.startswith("error: WORKDIR")


def test_maps_of_a_real_run_are_in_the_page(with_predictions, tmp_path):
  output = tmp_path / "page.html"
  told = experiment.write_report(
    [with_predictions], output=str(output), images=4
  )
  assert told["scored"] == 1
  # Four images, and two maps over each.
  assert output.read_text().count('src="data:image/png') == 12
