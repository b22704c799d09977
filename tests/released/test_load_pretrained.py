"""A word becomes a bundle: fetched once, converted once, scores beside it."""

import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import file_server
import jax
import numpy as np
import published_files as published
import pytest

import van_jax
from van_jax import errors, released
from van_jax.interop import convert as conversion
from van_jax.interop.facts import published_preprocessing
from van_jax.released import addresses, cache, load, table

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("cache_dir")


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
  """Returns the bytes of a small VAN as OpenMMLab publishes it."""
  path = tmp_path_factory.mktemp("weights") / "van.pth"
  published.write_openmmlab(path, published.mmpretrain(published.official()))
  return path.read_bytes()


@pytest.fixture
def known(server, weights, monkeypatch):
  """Serves the weights as van_b0's; returns the path on the server."""
  start = hashlib.sha256(weights).hexdigest()[:8]
  path = f"/van-tiny_8xb128_in1k_20220501-{start}.pth"
  server.answers[path] = [file_server.file(weights)]
  row = table.ROWS["van_b0.openmmlab"]
  moved = dataclasses.replace(row, address=server.url(path))
  monkeypatch.setitem(table.ROWS, "van_b0.openmmlab", moved)
  return path


def same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a.variables, b.variables)
  return True


def test_one_word_gives_a_bundle(known, server, weights, tmp_path):
  bundle = van_jax.load_pretrained("van_b0")
  (tmp_path / "by_hand.pth").write_bytes(weights)
  assert same(bundle, conversion.read_weights(tmp_path / "by_hand.pth"))
  assert bundle.source["address"] == server.url(known)
  assert bundle.preprocessing == published_preprocessing.HALF


@pytest.mark.parametrize("name", ["van_b0.openmmlab", "van_tiny"])
def test_other_names_of_the_same_file_fetch_nothing_new(name, known, server):
  first = van_jax.load_pretrained("van_b0")
  assert same(van_jax.load_pretrained(name), first)
  assert server.paths() == [known]


def test_the_bundle_is_kept_and_found_by_the_files_hash(
  known, weights, cache_dir, monkeypatch
):
  first = van_jax.load_pretrained("van_b0")
  (bundle,) = (cache_dir / "bundles").iterdir()
  assert bundle.name.startswith(hashlib.sha256(weights).hexdigest()[:32])
  monkeypatch.setattr(conversion, "read_weights", None)  # Not called again.
  assert same(van_jax.load_pretrained("van_b0"), first)


def test_a_damaged_bundle_is_made_again(known, cache_dir):
  first = van_jax.load_pretrained("van_b0")
  (bundle,) = (cache_dir / "bundles").iterdir()
  largest = max(bundle.rglob("*"), key=lambda path: path.stat().st_size)
  largest.write_bytes(largest.read_bytes()[:-1] + b"?")
  assert same(van_jax.load_pretrained("van_b0"), first)
  assert [p.name for p in (cache_dir / "bundles").iterdir()] == [bundle.name]


def test_a_cache_that_can_only_be_read_will_do(known, cache_dir, monkeypatch):
  first = van_jax.load_pretrained("van_b0")
  file = released.local_file("van_b0")

  def fail(*_, **__):
    raise PermissionError(13, "Permission denied")

  # As root, whom a folder's mode does not stop, would find it.
  for name in ("mkdtemp", "TemporaryFile"):
    monkeypatch.setattr(f"tempfile.{name}", fail)
  monkeypatch.setattr(cache, "locked", fail)
  assert same(van_jax.load_pretrained("van_b0"), first)
  assert released.local_file("van_b0") == file


def test_who_converts_second_takes_what_is_there(known, cache_dir):
  van_jax.load_pretrained("van_b0")
  (bundle,) = (cache_dir / "bundles").iterdir()
  before = bundle.stat().st_ino
  file = pathlib.Path(released.local_file("van_b0"))
  record = cache.read_record(file)
  assert record is not None
  load._make(bundle, file, record)  # As if it had not been there a moment ago.
  assert [p.name for p in (cache_dir / "bundles").iterdir()] == [bundle.name]
  assert bundle.stat().st_ino == before


def test_what_a_killed_conversion_left_is_removed(known, cache_dir):
  left = cache_dir / "bundles" / ".making_old"
  (left / "bundle").mkdir(parents=True)
  os.utime(left, (0, 0))
  van_jax.load_pretrained("van_b0")
  assert not left.exists()


def test_a_bundle_that_cannot_be_written_names_the_cache(known, monkeypatch):
  def fail(*_, **__):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("tempfile.mkdtemp", fail)
  with pytest.raises(errors.UserError, match=r"No space left .*VAN_JAX_CACHE"):
    van_jax.load_pretrained("van_b0")


def test_the_hubs_own_vans_do_not_take_the_processor_beside_them():
  # ConvNeXt's; B0 would fall from 75.4 % to about 72 %.
  row = table.find_address("hf://Visual-Attention-Network/van-tiny")
  assert row is not None
  assert row is table.ROWS["van_b0.huggingface"]
  assert row.beside == ("config.json",)


def test_options_are_those_of_load_bundle(known):
  bundle = van_jax.load_pretrained("van_b0", dtype="bfloat16")
  assert bundle.model.dtype == "bfloat16"


def test_a_file_that_is_no_van_says_so(server):
  server.answers["/w.pth"] = [file_server.file(b"PK nothing of the kind")]
  with pytest.raises(errors.UserError, match=r"w\.pth: .*damaged|cut short"):
    van_jax.load_pretrained(server.url("/w.pth"))


@pytest.mark.parametrize(
  ("name", "words"),
  [
    ("van_b0.offical", "did you mean .*van_b0.official"),
    ("van_b9", "did you mean van_b"),
    ("resnet50", "names are van_b0, "),
    ("runs/bundle", "load_bundle"),
  ],
)
def test_a_name_that_is_none_hints_at_those_that_are(name, words):
  with pytest.raises(errors.UserError, match=words):
    van_jax.load_pretrained(name)


def test_what_is_on_disk_is_a_path_before_it_is_a_name(
  known, server, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "van_b0").mkdir()
  assert released.local_bundle("van_b0") == "van_b0"
  assert released.local_file("van_b0") == "van_b0"
  assert not server.asked


@pytest.mark.parametrize("path", ["runs/none", "gs://bucket/run", "w.pth"])
def test_other_paths_stay_as_they_are(path):
  assert released.local_bundle(path) == path


def test_a_word_like_a_name_that_is_nowhere_is_told():
  with pytest.raises(errors.UserError, match=r"van_b0\.ofical: there is no"):
    released.local_file("van_b0.ofical")


def test_the_list_has_the_published_scores_and_prints_as_a_table():
  rows = {row.name: row for row in van_jax.list_pretrained()}
  assert rows["van_b0.openmmlab"].top1 == 75.41
  assert rows["van_b4.openmmlab"].top5 == 96.86
  assert rows["van_b4.in21k"].top1 is None
  lines = repr(van_jax.list_pretrained()).splitlines()
  assert lines[0].split()[:4] == ["name", "short", "top1", "top5"]
  assert lines[1].split()[:4] == [
    "van_b0.openmmlab",
    "van_b0",
    "75.41",
    "93.02",
  ]
  assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", table.ROWS)
def test_every_row_has_an_address_that_can_be_fetched(name):
  row = table.ROWS[name]
  repository = addresses.repository(row.address)
  if repository is not None:
    assert addresses.is_file_of_hub(repository.file)
    address = repository.address(row.address, ())
  else:
    address = addresses.web(row.address)
  assert address.url.startswith("https://")
  assert (len(address.sha256) == 8) == ("openmmlab" in address.url)
  assert table.find(name) == (name, row)


def test_hugging_faces_repository_gives_weights_and_class_names(
  server, monkeypatch
):
  monkeypatch.setenv("HF_ENDPOINT", server.url(""))
  size = dataclasses.replace(published.SMALL, classes=2)
  weights = published.hugging_face(published.official(size))
  folder = "/me/mine/resolve/main"
  config = {"model_type": "van", "id2label": {"0": "cat", "1": "dog"}}
  listing = {
    "siblings": [
      {"rfilename": name}
      for name in ("README.md", "config.json", "model.safetensors")
    ]
  }
  server.answers |= {
    "/api/models/me/mine/revision/main": [
      file_server.file(json.dumps(listing).encode())
    ],
    f"{folder}/config.json": [file_server.file(json.dumps(config).encode())],
    f"{folder}/model.safetensors": [file_server.file(_safetensors(weights))],
  }
  bundle = van_jax.load_pretrained("hf://me/mine")
  assert bundle.labels == ("cat", "dog")
  assert server.paths() == [
    "/api/models/me/mine/revision/main",
    f"{folder}/config.json",
    f"{folder}/preprocessor_config.json",
    f"{folder}/model.safetensors",
  ]


def test_a_repository_with_many_files_wants_one_named(server, monkeypatch):
  monkeypatch.setenv("HF_ENDPOINT", server.url(""))
  files = [{"rfilename": name} for name in ("a.pth", "b.pth")]
  server.answers["/api/models/me/mine/revision/v2"] = [
    file_server.file(json.dumps({"siblings": files}).encode())
  ]
  with pytest.raises(errors.UserError, match=r"a\.pth, b\.pth; name the one"):
    released.local_file("hf://me/mine@v2")


@pytest.mark.parametrize(
  ("address", "words"),
  [
    ("http://example.com/w.pth", "must be an https:// address"),
    ("https://drive.google.com/file/d/1/view", "Google Drive asks a person"),
    ("https://[/w.pth", "is not an address"),
    ("https:///w.pth", "must be an https:// address"),
    ("hf://me", "hf://OWNER/NAME"),
    ("hf://me/mine/../../other", "hf://OWNER/NAME"),
  ],
)
def test_addresses_that_cannot_be_fetched_are_refused_at_once(address, words):
  with pytest.raises(errors.UserError, match=words):
    released.local_file(address)


def test_a_date_in_a_name_is_no_hash():
  assert addresses.web("https://a/van-20220501.pth").sha256 == ""
  assert addresses.web("https://a/van-db926b18.pth").sha256 == "db926b18"


def test_the_converter_takes_a_name(known, server, tmp_path, monkeypatch):
  # As a user starts it, with an address, for the table is the test's alone.
  command = [
    sys.executable,
    "convert_torch_weights.py",
    f"--input={server.url(known)}",
    f"--output={tmp_path / 'bundle'}",
    f"--cache={tmp_path / 'elsewhere'}",
  ]
  done = subprocess.run(
    command, cwd=ROOT, capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout)["format"] == "mmpretrain"
  assert (tmp_path / "elsewhere" / "files").is_dir()
  assert same(
    van_jax.load_bundle(tmp_path / "bundle"), van_jax.load_pretrained("van_b0")
  )


def _safetensors(arrays):
  import safetensors.numpy

  return safetensors.numpy.save(
    {key: np.ascontiguousarray(array) for key, array in arrays.items()}
  )
