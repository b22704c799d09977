"""Does reading batches grow? Resident memory over thousands of small batches.

  python -m benchmarks.input_memory [--batches=5000] [--kind=stripes]

Writes 2,000 small JPEGs as a TFDS-like record set and as class folders in a
temporary directory, reads batches of 16 of them with the training recipe, and
prints resident megabytes after 500 batches and after all of them. The first
batches fill pools and caches. Then it prints the seconds to the first batch, at
step 0 and in the middle of an epoch: what resuming costs.
"""

import argparse
import io
import pathlib
import tempfile
import time

import numpy as np
from PIL import Image

from configs import imagenet1k
from van_jax import data
from van_jax.data.sources import folder, record_pieces, record_split
from van_jax.data.tensorflow import tf

SIZE, FILES, BATCH = 2000, 80, 16


def main() -> None:
  """Measures the kind that the command line names, or both."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--batches", type=int, default=5000)
  parser.add_argument("--kind", choices=("stripes", "folder"))
  options = parser.parse_args()
  kinds = {"stripes": _stripes, "folder": _folder}
  for kind in [options.kind] if options.kind else kinds:
    with tempfile.TemporaryDirectory() as directory:
      split = kinds[kind](pathlib.Path(directory))
      source = data.Source("samples", split.class_names, split, None)
      _measure(kind, source, options.batches)


def _measure(kind: str, source: data.Source, count: int) -> None:
  batches = _batches(source, 0)
  before = 0.0
  for done in range(1, count + 1):
    next(batches)
    if done == min(500, count):
      before = _resident()
  after = _resident()
  print(
    f"{kind}: {before:.0f} MB after {min(500, count)} batches, {after:.0f} MB "
    f"after {count}: {after - before:+.0f} MB",
    flush=True,
  )
  for step in (0, SIZE // BATCH // 2):
    start = time.perf_counter()
    next(_batches(source, step))
    seconds = time.perf_counter() - start
    print(f"{kind}: {seconds:.2f} s to the batch of step {step}", flush=True)


def _batches(source: data.Source, start_step: int):
  config = imagenet1k.get_config().augmentation
  config.image_size = 32
  return data.train_batches(
    source,
    augmentation=data.Augmentation(**config),
    batch_size=BATCH,
    seed=0,
    start_step=start_step,
  )


def _images():
  rng = np.random.default_rng(0)
  for _ in range(SIZE):
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    file = io.BytesIO()
    coarse.resize(tuple(rng.integers(40, 60, 2))).save(file, "JPEG")
    yield file.getvalue()


def _stripes(directory: pathlib.Path) -> record_split.RecordSplit:
  images = list(_images())
  each = SIZE // FILES
  files = [str(directory / f"{i}.tfrecord") for i in range(FILES)]
  for i, file in enumerate(files):
    with tf.io.TFRecordWriter(file) as writer:
      for image in images[i * each : (i + 1) * each]:
        writer.write(image)
  take = np.full(FILES, each, np.int64)
  return record_split.RecordSplit(
    title="samples",
    files=tuple(files),
    pieces=record_pieces.Pieces(
      np.arange(FILES), np.zeros(FILES, np.int64), take, np.cumsum(take) - take
    ),
    parse=lambda record: {"image": record, "label": 0},
    class_names=("thing",),
    record_bytes=float(np.mean([len(image) for image in images])),
    shuffle_megabytes=1,
  )


def _folder(directory: pathlib.Path) -> folder.FileSplit:
  (directory / "train" / "thing").mkdir(parents=True)
  for i, image in enumerate(_images()):
    (directory / "train" / "thing" / f"{i}.jpg").write_bytes(image)
  return folder.list_split(str(directory), "train")


def _resident() -> float:
  """Returns the memory of this process, in 10^6 bytes."""
  status = pathlib.Path("/proc/self/status").read_text()
  line = next(line for line in status.splitlines() if line[:5] == "VmRSS")
  return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
  main()
