"""The picture of a step's images: that it is of what training sees."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

from van_jax import experiment, parallel
from van_jax.data.images import grid
from van_jax.experiment import preview, recipe_task, stepping

COMMAND = """
import runpy, sys
sys.path.insert(0, "")
from van_jax import experiment

experiment.draw_preview = lambda config, **options: {
  "batch_size": config.batch_size, **options}
runpy.run_module("van_jax.data.preview", run_name="__main__")
"""
SEEN = {  # All that training can do to the digits.
  "mixing.cutmix_alpha": 1.0,
  "erasing.probability": 0.5,
  "augmentation.flip_probability": 0.5,
}


@pytest.fixture
def drawn(monkeypatch):
  """Returns a list that gets the images and captions of each grid."""
  calls = []
  draw = grid.draw

  def record(images, captions):
    calls.append((images, captions))
    return draw(images, captions)

  monkeypatch.setattr(grid, "draw", record)
  return calls


@pytest.fixture
def refuse(tiny_config, tmp_path, monkeypatch):
  """Returns a function that asks for a picture, and gives the error."""

  def refuse(output=None, changes=None, **arguments):
    monkeypatch.setattr(preview, "_prepared", None)  # No image is read.
    with pytest.raises(ValueError) as info:
      experiment.draw_preview(
        tiny_config(**(changes or {})),
        output=str(output or tmp_path / "x.png"),
        **{"count": 4, **arguments},
      )
    return str(info.value)

  return refuse


def test_the_picture_is_of_what_the_step_trains_on(
  tiny_config, tmp_path, drawn, monkeypatch
):
  config = tiny_config(**SEEN)
  seen = []
  create = recipe_task.create_task

  def recording(config):
    ours = create(config)

    def record(*arguments):
      prepared = ours.prepare(*arguments)
      jax.debug.callback(lambda *x: seen.append(x), *prepared, ordered=True)
      return prepared

    return dataclasses.replace(ours, prepare=record)

  class StopError(Exception):
    """Ends a run after two steps."""

  def stop(step):
    if step == 3:
      raise StopError

  # On one device: callbacks in order need it, and mixing has no other result.
  one = parallel.create_mesh(jax.devices()[:1])
  with monkeypatch.context() as patch:
    patch.setattr(recipe_task, "create_task", recording)
    patch.setattr(parallel, "create_mesh", lambda *_, **__: one)
    patch.setattr(
      stepping.profiling, "trace_window", lambda *a, **k: _Observer(stop)
    )
    with pytest.raises(StopError):
      experiment.train(config, workdir=str(tmp_path / "run"))
  jax.effects_barrier()
  experiment.draw_preview(
    config, output=str(tmp_path / "x.png"), count=16, step=1
  )
  [(images, captions)] = drawn
  trained, targets = map(np.asarray, seen[1])
  expected = np.clip(np.round((trained * 0.5 + 0.5) * 255), 0, 255)
  # Half a grey level may round to either side in another compilation.
  assert np.abs(images.astype(int) - expected).max() <= 1
  names = "0123456789"
  assert captions == [preview.caption(t, names, 0.1) for t in targets]


class _Observer:
  """Stands for the profiler's window, as a context."""

  def __init__(self, observe):
    self.observe = observe

  def __enter__(self):
    return self.observe

  def __exit__(self, *error):
    return None


def test_the_file_is_the_grid(tiny_config, tmp_path, drawn):
  output = tmp_path / "new" / "x.png"
  result = experiment.draw_preview(
    tiny_config(**SEEN), output=str(output), count=5
  )
  assert result == {"output": str(output), "count": 5, "step": 0}
  with Image.open(output) as image:
    assert image.format == "PNG"
    expected = np.asarray(grid.draw(*drawn[0]))
    assert np.array_equal(np.asarray(image), expected)
  assert len(drawn[0][1]) == 5


def test_steps_and_seeds_have_pictures_of_their_own(
  tiny_config, tmp_path, drawn
):
  output = str(tmp_path / "x.png")
  for seed, step in [(0, 0), (0, 0), (0, 7), (1, 0)]:
    experiment.draw_preview(
      tiny_config(seed=seed), output=output, count=4, step=step, overwrite=True
    )
  first, again, later, other = (images for images, _ in drawn)
  assert np.array_equal(first, again)
  assert not np.array_equal(first, later)
  assert not np.array_equal(first, other)


def test_a_caption_has_the_weights_of_mixing_by_size():
  target = 0.1 / 4 + 0.9 * np.array([0.27, 0.0, 0.73, 0.0])
  names = ["goldfish", "shark", "tench", "ray"]
  assert preview.caption(target, names, 0.1) == "0.73 tench + 0.27 goldfish"


def test_a_caption_of_an_unmixed_image_is_one_class():
  assert preview.caption(np.array([0.0, 1.0]), ["a", "b"], 0.0) == "1.00 b"


def test_names_are_first_synonyms_of_words_or_wordnet_ids():
  names = ["n01440764", "goldfish, Carassius auratus", "7"]
  assert preview.readable_names(names) == ["tench", "goldfish", "7"]


def test_more_images_than_a_batch_are_refused(refuse):
  assert "count=17 must be from 1 to batch_size=16" in refuse(count=17)
  assert "count=0" in refuse(count=0)


def test_small_batches_are_drawn_whole_unless_told(
  tiny_config, tmp_path, drawn
):
  experiment.draw_preview(tiny_config(), output=str(tmp_path / "x.png"))
  assert len(drawn[0][1]) == 16


def test_a_step_before_the_first_is_refused(refuse):
  assert "step=-1 must be from 0" in refuse(step=-1)


def test_a_file_that_is_there_is_kept(refuse, tmp_path):
  output = tmp_path / "x.png"
  output.write_text("mine")
  message = refuse(output)
  assert f"output={output} is there already" in message
  assert "--overwrite" in message
  assert output.read_text() == "mine"


def test_an_output_that_is_no_png_is_refused(refuse, tmp_path):
  assert "must end with .png" in refuse(tmp_path / "x.jpg")
  (tmp_path / "dir.png").mkdir()
  assert "is a folder" in refuse(tmp_path / "dir.png")


def test_an_output_below_a_file_is_refused(refuse, tmp_path):
  (tmp_path / "file").write_text("")
  message = refuse(tmp_path / "file" / "x.png")
  assert f"{tmp_path}/file is not a folder that you may write to" in message


def test_a_config_that_cannot_work_is_refused(refuse, tmp_path):
  assert "erasing.area" in refuse(changes={"erasing.area": (0.4, 0.3)})
  assert list(tmp_path.iterdir()) == []


def test_the_command_ends_with_a_line_of_json(run, last_json, tmp_path):
  # What it draws is seen above: here it says what it was asked to.
  file = tmp_path / "command.py"
  file.write_text(COMMAND)
  flags = ("--output=x.png", "--count=2", "--step=3", "--overwrite")
  assert last_json(run(file, *flags)) == {
    "batch_size": 16,
    "output": "x.png",
    "count": 2,
    "step": 3,
    "overwrite": True,
  }


def test_the_command_says_in_one_line_what_is_wrong(run):
  process = run("-m van_jax.data.preview", "--output=x.jpg", "--count=2")
  assert process.returncode == 1
  assert process.stderr.startswith("error: output=x.jpg")
  assert process.stderr.count("\n") == 1
