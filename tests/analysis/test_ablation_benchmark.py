"""benchmarks/ablation.py: its tasks of photographs, and its table."""

import importlib
import pathlib
import types

import numpy as np
import pytest
from PIL import Image

from van_jax import errors
from van_jax.analysis.complexity import Complexity

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.fixture
def tasks(monkeypatch):
  """Returns the module of the tasks."""
  monkeypatch.syspath_prepend(str(ROOT))
  return importlib.import_module("benchmarks.photograph_tasks")


@pytest.fixture
def ablation(monkeypatch):
  """Returns the command's module."""
  monkeypatch.syspath_prepend(str(ROOT))
  return importlib.import_module("benchmarks.ablation")


def photographs_of(tasks, count):
  """Returns photographs, each of a single colour of its own."""
  colours = np.linspace(40, 200, count).astype(np.uint8)
  images = np.broadcast_to(colours[:, None, None, None], (count, 16, 16, 3))
  return tasks.Photographs(images, np.arange(count) % 2)


def test_a_pair_is_of_one_photograph_where_the_label_says_so(tasks):
  photographs = photographs_of(tasks, 2)  # 40 and 200: no light joins them.
  images, labels = tasks.pairs(photographs, 200, seed=0)
  assert images.shape == (200, 64, 64, 3)
  near = [images[:, corner, corner, 0] < 100 for corner in (0, -1)]
  np.testing.assert_array_equal(near[0] == near[1], labels == 1)
  # 200 fair coins: 100, and 4 standard deviations of 7.
  assert abs(labels.sum() - 100) < 4 * 7.1


def test_a_pairs_views_differ_and_all_between_is_grey(tasks):
  draw = np.random.default_rng(0)
  noise = draw.integers(0, 256, (9, 16, 16, 3), np.uint8)
  images, _ = tasks.pairs(tasks.Photographs(noise, np.zeros(9)), 50, seed=0)
  assert (images[:, :16, 16:] == 128).all()
  assert (images[:, 16:48] == 128).all()
  assert (images[:, 48:, :48] == 128).all()
  assert (images[:, :16, :16] != images[:, 48:, 48:]).any((1, 2, 3)).all()


def test_a_seed_makes_the_same_pairs_again(tasks):
  photographs = photographs_of(tasks, 5)
  one, same, other = (
    tasks.pairs(photographs, 20, seed)[0] for seed in (1, 1, 2)
  )
  np.testing.assert_array_equal(one, same)
  assert (one != other).any()


def test_photographs_of_any_size_are_read_with_their_classes(tasks, tmp_path):
  for name, size, colour in (("cat", (40, 20), 10), ("ant", (9, 9), 250)):
    (tmp_path / name).mkdir()
    Image.new("RGB", size, (colour,) * 3).save(tmp_path / name / "1.png")
  images, labels, names = tasks.read(tmp_path, 16)
  assert names == ("ant", "cat")
  assert (images.shape, labels.tolist()) == ((2, 16, 16, 3), [0, 1])
  assert images.mean((1, 2, 3)).tolist() == [250, 10]  # Ants before cats.
  with pytest.raises(errors.UserError, match=r"cat holds 0 images .* around"):
    tasks.read(tmp_path / "cat", 16)


def test_splits_of_other_classes_and_damaged_files_are_refused(tasks, tmp_path):
  for folder in ("train/ant", "train/cat", "test/ant", "test/bee"):
    (tmp_path / folder).mkdir(parents=True)
    for name in ("1.png", "2.png"):
      Image.new("RGB", (9, 9)).save(tmp_path / folder / name)
  with pytest.raises(errors.UserError, match="has bee, cat in one of train"):
    tasks.read_splits(tmp_path, 16)
  (tmp_path / "train/cat/1.png").write_bytes(b"no image")
  with pytest.raises(errors.UserError, match=r"cat/1\.png cannot be read"):
    tasks.read_splits(tmp_path, 16)


def test_classes_are_photographs_once_each(tasks):
  photographs = photographs_of(tasks, 6)
  images, labels = tasks.classes(photographs, 100, seed=3)
  order = np.argsort(images[:, 0, 0, 0])
  np.testing.assert_array_equal(images[order], photographs.images)
  np.testing.assert_array_equal(labels[order], photographs.labels)


SCORES = {
  "van_b0": np.array([0.80, 0.82, 0.81]),
  "add": np.array([0.70, 0.72, 0.74]),
  "msca": np.array([0.9]),
}


@pytest.fixture
def records(ablation):
  """Returns the records of three rows, one of them with a single run."""
  sweep = types.SimpleNamespace(variants=tuple(SCORES), scores=SCORES.get)
  cost = Complexity(1234, 900_000, 1_000_000, ())
  return ablation.compared(sweep, dict.fromkeys(SCORES, cost))


def test_a_row_is_told_apart_by_its_difference_over_its_error(records):
  assert [record["runs"] for record in records] == [3, 3, 1]
  assert records[1]["top1"] == pytest.approx(72)
  assert records[1]["spread"] == pytest.approx(2)
  # Spreads of 1 and 2 over three seeds: (72 - 81) / sqrt(1 / 3 + 4 / 3).
  assert records[1]["apart"] == pytest.approx(-9 / (5 / 3) ** 0.5)
  assert np.isnan([records[0]["apart"], records[2]["apart"]]).all()


def test_the_table_is_printed_and_written(ablation, records, tmp_path, capsys):
  ablation.write(tmp_path, "Task 'pairs'.", records)
  printed = capsys.readouterr().out
  assert printed.strip() == (tmp_path / "ablation.md").read_text().strip()
  *_, first, add, msca = printed.strip().splitlines()
  assert first == "| van_b0 | 1,234 | 1.00 | 3 | 81.00 | 1.00 | - |"
  assert add == "| add | 1,234 | 1.00 | 3 | 72.00 | 2.00 | -7.0 |"
  assert msca == "| msca | 1,234 | 1.00 | 1 | 90.00 | nan | - |"
  lines = (tmp_path / "ablation.csv").read_text().splitlines()
  assert lines[0] == "row,params,mega_flops,runs,top1,spread,apart"


def test_the_default_rows_are_twelve_ablations(ablation):
  assert len(set(ablation.ROWS)) == len(ablation.ROWS) >= 12
  for name in ablation.ROWS:
    assert ablation.network(name, 2).num_classes == 2
