"""Tables of files and labels as splits."""

import pytest
from absl import logging
from PIL import Image

from van_jax import data, errors
from van_jax.data.sources.folder import FileSplit
from van_jax.data.tensorflow import tf

ROWS = "b.jpg,dog\nin/a.png,cat\na.jpg,dog\n"
FILES = {"a.jpg": "dog", "b.jpg": "dog", "in/a.png": "cat"}


@pytest.fixture
def images(tmp_path):
  """Returns a folder "train" of three images, whose names say their grey."""
  for i, name in enumerate(FILES):
    path = tmp_path / "train" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), (i * 50,) * 3).save(path)
  return tmp_path / "train"


@pytest.fixture
def flat(images):
  """Returns a folder "train" of two images, without folders."""
  (images / "in" / "a.png").unlink()
  (images / "in").rmdir()
  return images


def _open(directory, split="train.csv") -> FileSplit:
  source = data.open_source(
    name="folder", directory=str(directory), train_split=split, eval_split=None
  )
  assert isinstance(source.train, FileSplit)
  return source.train


def _labels(split):
  """Returns the class of each file below the folder "train"."""
  return {
    split.describe(i).split("/train/")[1]: split.class_names[label]
    for i, label in enumerate(split.labels)
  }


@pytest.mark.parametrize(
  "text",
  [
    ROWS,
    f"file,label\n{ROWS}",
    "\ufeff" + ROWS,
    ROWS.replace("\n", "\r\n"),
    "id,Label,Path\n1,dog,b.jpg\n2,cat,./in/a.png\n3,dog,a.jpg\n",
    '"b.jpg","dog"\n\n "in/a.png", cat\na.jpg,dog'.replace(' "', '"'),
    f"\n{ROWS}".replace(",", ";"),
    f"file\tlabel\n{ROWS}".replace(",", "\t"),
  ],
  ids=[
    "plain",
    "header",
    "bom",
    "crlf",
    "columns",
    "quotes",
    "semicolons",
    "tabs",
  ],
)
def test_rows_say_files_and_classes(images, text):
  (images.parent / "train.csv").write_bytes(text.encode())
  split = _open(images.parent)
  assert split.class_names == ("cat", "dog")
  assert _labels(split) == FILES
  assert split.labels.tolist() == [1, 1, 0]


def test_tabs_separate_in_tsv(images):
  (images.parent / "train.tsv").write_text(ROWS.replace(",", "\t"))
  assert _labels(_open(images.parent, "train.tsv")) == FILES


def test_files_may_be_below_the_tables_folder(images):
  text = "".join(f"train/{name},{label}\n" for name, label in FILES.items())
  (images.parent / "part.csv").write_text(text)
  assert _labels(_open(images.parent, "part.csv")) == FILES


@pytest.mark.parametrize("place", ["train.csv", "train/train.csv"])
def test_a_flat_folder_finds_its_table_by_itself(flat, place):
  (flat.parent / place).write_text("a.jpg,dog\nb.jpg,cat\n")
  assert _labels(_open(flat.parent, "train")) == {
    "a.jpg": "dog",
    "b.jpg": "cat",
  }


def test_class_folders_come_before_a_table_that_is_named(images, monkeypatch):
  said = []
  monkeypatch.setattr(
    logging, "warning", lambda text, *arguments: said.append(text % arguments)
  )
  (images.parent / "train.csv").write_text(ROWS)
  assert _open(images.parent, "train").class_names == ("in",)
  assert "train.csv is not read, as there are class folders" in said[0]


def test_slices_of_a_table_share_no_file_and_keep_labels(images):
  (images.parent / "train.csv").write_text(ROWS)
  parts = [_open(images.parent, f"train.csv[{s}]") for s in (":2", "2:")]
  assert [part.size for part in parts] == [2, 1]
  assert _labels(parts[0]) | _labels(parts[1]) == FILES
  assert parts[1].class_names == ("cat", "dog")


def test_numbers_are_classes_in_the_order_of_numbers(flat):
  (flat.parent / "train.csv").write_text("a.jpg,10\nb.jpg,9\n")
  split = _open(flat.parent)
  assert split.class_names == ("9", "10")
  assert split.labels.tolist() == [1, 0]


@pytest.mark.parametrize("label", ["1", "bee"])
def test_numbers_are_of_the_classes_that_are_listed(flat, label):
  (flat.parent / "classes.txt").write_text("crane\nbee\nant\n")
  (flat.parent / "train.csv").write_text(f"a.jpg,{label}\nb.jpg,ant\n")
  split = _open(flat.parent)
  assert split.class_names == ("crane", "bee", "ant")
  assert split.labels.tolist() == [1, 2]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("a.jpg,dog\nb.jpg\n", r"line 2 of .*train\.csv: 1 columns are too few"),
    ("a.jpg,dog\nb.jpg,\n", "line 2 of .*: a file or a label is empty"),
    ("a.jpg,dog\nb,cat\n", "line 2 of .*'b' is no image by its name"),
    ("x,dog\n", "line 1 of .*'x' is no image by its name.*file, label"),
    ("a.jpg,dog\n\na.jpg,cat\n", "line 3 of .*line 1 has 'a.jpg' too"),
    ("a.jpg,dog\n/b.jpg,cat\n", "line 2 of .*'/b.jpg' is not below"),
    ("a.jpg,dog\n../b.jpg,cat\n", r"line 2 of .*'\.\./b.jpg' is not below"),
    ("file,label\nz.jpg,dog\n", "line 2 of .*'z.jpg' is not in .*train or"),
    ('a.jpg,dog\n"b.jpg,cat\n', r"line \d of .*unexpected end"),
    ("file,label\n", "has no row"),
    ("", "has no row"),
    ("a.jpg,caf\xe9\n", "is not UTF-8 at byte 9; save it"),
  ],
)
def test_damaged_rows_are_named_by_line(flat, text, message):
  (flat.parent / "train.csv").write_bytes(text.encode("latin-1"))
  with pytest.raises(errors.UserError, match=message) as info:
    _open(flat.parent)
  assert "\n" not in str(info.value)


def test_a_label_that_is_not_listed_is_named_by_line(flat):
  (flat.parent / "classes.txt").write_text("ant\nbee\n")
  (flat.parent / "train.csv").write_text("a.jpg,0\nb.jpg,2\n")
  with pytest.raises(
    errors.UserError, match=r"line 2 of .*'2' is none of the 2"
  ):
    _open(flat.parent)


def test_a_blank_line_among_the_classes_is_named(flat):
  (flat.parent / "classes.txt").write_text("ant\n\nbee\n")
  (flat.parent / "train.csv").write_text("a.jpg,0\nb.jpg,2\n")
  with pytest.raises(errors.UserError, match=r"line 2 of .*classes\.txt is bl"):
    _open(flat.parent)


def test_a_folder_without_classes_says_the_ways(flat):
  with pytest.raises(errors.UserError, match=r"no class folder; .*SPLIT\.csv"):
    _open(flat.parent, "train")


def test_a_file_that_is_gone_is_named(flat, preprocessing):
  (flat.parent / "train.csv").write_text("a.jpg,dog\nz.jpg,cat\n")
  source = data.open_source(
    name="folder",
    directory=str(flat.parent),
    train_split=None,
    eval_split="train",
  )
  batches = data.eval_batches(source, batch_size=2, preprocessing=preprocessing)
  with pytest.raises(errors.UserError, match=rf"^{flat}/z\.jpg cannot be read"):
    list(batches)


def test_what_is_fetched_is_the_file_and_its_label(images):
  (images.parent / "train.csv").write_text(ROWS)
  split = _open(images.parent)
  fetched = [split.fetch(handle) for _, handle in split.sequence(0, 3)]
  assert [int(parts["label"]) for parts in fetched] == [1, 1, 0]
  contents = [parts["image"].numpy() for parts in fetched]
  assert contents == [(images / name).read_bytes() for name in FILES]


def test_a_remote_table_is_read_alike(flat):
  address = f"ram:///table_{flat.parent.name}"
  tf.io.gfile.makedirs(f"{address}/train")
  for name in ("a.jpg", "b.jpg"):
    with tf.io.gfile.GFile(f"{address}/train/{name}", "wb") as file:
      file.write(b"x")
  with tf.io.gfile.GFile(f"{address}/train.csv", "wb") as file:
    file.write(b"a.jpg,dog\nb.jpg,cat\n")
  split = _open(address, "train")
  assert _labels(split) == {"a.jpg": "dog", "b.jpg": "cat"}
  fetched = split.fetch(tf.constant(0, tf.int64))
  assert fetched["image"].numpy() == b"x"
