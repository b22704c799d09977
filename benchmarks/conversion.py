"""What conversion costs and how exact it is, on weights like released ones.

  python benchmarks/conversion.py --models=van_b2 --cost
  python benchmarks/conversion.py --models=van_b0,van_b5 --sizes=224,384
  python benchmarks/conversion.py --models= --pixels=FOLDER_OF_IMAGES

Writes official files of random weights with statistics away from 0 and 1, as
training leaves them. --cost converts each in a fresh process: seconds, and the
peak of memory above what the libraries take, over the size of the file. --sizes
compares PyTorch and Flax at these image sizes. --pixels compares the evaluation
pixels of TensorFlow with PIL's. One line of JSON a measurement.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags

PREPROCESSINGS = (  # Published ones: image size, size before the crop, mode.
  (224, 248, "short_side"),
  (224, 256, "short_side"),
  (384, 384, "warp"),
)

_MODELS = flags.DEFINE_list("models", ["van_b2"], "Names of variants.")
_SIZES = flags.DEFINE_list("sizes", [], "Image sizes to compare at.")
_COST = flags.DEFINE_bool("cost", False, "Measure time and memory.")
_PIXELS = flags.DEFINE_string("pixels", None, "Images to preprocess twice.")
_IMAGES = flags.DEFINE_integer("images", 2, "Photographs to compare on.")


def main(_) -> None:
  """Prints the measurements that the flags ask for."""
  with tempfile.TemporaryDirectory() as folder:
    for name in _MODELS.value:
      file = pathlib.Path(folder) / f"{name}.pth.tar"
      write_random_weights(name, file)
      if _COST.value:
        command = [sys.executable, __file__, "--measure", str(file)]
        print(subprocess.check_output(command, text=True).strip(), flush=True)
      for size in map(int, _SIZES.value):
        print(json.dumps(compare(name, file, size)), flush=True)
      file.unlink()
  for size, resize, mode in PREPROCESSINGS if _PIXELS.value else ():
    print(json.dumps(compare_pixels(size, resize, mode)), flush=True)


def write_random_weights(name: str, path: pathlib.Path) -> None:
  """Writes an official file whose statistics are away from 0 and 1."""
  import torch

  from van_jax import models
  from van_jax.interop.proof import torch_van

  torch.manual_seed(0)
  variant = models.VARIANTS[name]
  network = torch_van.TorchVAN(
    variant.widths, variant.depths, variant.ffn_ratios
  )
  for key, value in network.state_dict().items():
    if value.ndim == 1 and key.endswith("weight"):  # Of the norms.
      value.uniform_(0.5, 1.5)
    elif key.endswith(".bias"):
      value.normal_(std=0.2)
    elif "layer_scale" in key:
      value.uniform_(0.01, 0.1)
  # Gates square what they get: with statistics of nothing, and with larger
  # scales, one far value overflows within some blocks.
  for module in network.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
      module.momentum = 1.0
  with torch.no_grad():
    network.train()(torch.randn(8, 3, 64, 64))
  torch.save({"state_dict": network.state_dict(), "epoch": 310}, path)


def measure(path: str) -> None:
  """Converts a file in this process, and prints what it took."""
  import jax
  import orbax.checkpoint

  from van_jax.interop import convert as conversion

  del orbax  # Imported so as not to count it.
  jax.block_until_ready(jax.numpy.zeros(1))
  before = _memory("VmRSS")
  pathlib.Path("/proc/self/clear_refs").write_text("5")  # Forgets the peak.
  start = time.perf_counter()
  conversion.convert(input=path, output=f"{path}.bundle")
  seconds = time.perf_counter() - start
  size = pathlib.Path(path).stat().st_size
  memory = _memory("VmHWM") - before
  print(
    json.dumps(
      {
        "file": pathlib.Path(path).name,
        "file_mb": round(size / 1e6, 1),
        "seconds": round(seconds, 2),
        "peak_mb": round(memory / 1e6, 1),
        "peak_over_file": round(memory / size, 2),
      }
    )
  )


def compare(name: str, path: pathlib.Path, size: int) -> dict:
  """Returns how far PyTorch and Flax are apart."""
  import dataclasses

  from van_jax.interop import convert as conversion
  from van_jax.interop.proof import official_arrays, photographs, verification

  bundle = conversion.read_weights(path)
  photos = list(photographs.read(None).items())[: _IMAGES.value]
  report = verification.verify(
    bundle.model,
    bundle.variables,
    official_arrays.read(path, averaged=False),
    images=dict(photos),
    preprocessing=dataclasses.replace(
      bundle.preprocessing, image_size=size, resize_size=round(size / 0.9)
    ),
    batch_size=1,
  )
  logits = report["outputs"]["logits"]
  return {
    "model": name,
    "size": size,
    "spread": logits["spread"],
    **{
      f"{pair}_over_spread": logits[pair]["max"] / logits["spread"]
      for pair in ("torch_flax", "torch_float64", "flax_float64")
    },
    "top1_agreement": report["top1_agreement"],
  }


def compare_pixels(size: int, resize: int, mode: str) -> dict:
  """Returns how far TensorFlow's pixels are from PIL's, in grey levels."""
  import dataclasses

  from van_jax.interop.facts import published_preprocessing
  from van_jax.interop.proof import photographs, verification

  preprocessing = dataclasses.replace(
    published_preprocessing.HALF,
    image_size=size,
    resize_size=resize,
    resize_mode=mode,
  )
  images = photographs.read(_PIXELS.value)
  levels = verification.compare_pixels(images, preprocessing)
  return {
    "images": len(images),
    "size": size,
    "resize": resize,
    "mode": mode,
    **levels,
  }


def _memory(field: str) -> int:
  """Returns a field of this process's memory, in bytes; Linux."""
  for line in pathlib.Path("/proc/self/status").read_text().splitlines():
    if line.startswith(f"{field}:"):
      return int(line.split()[1]) * 1024
  raise ValueError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
  if sys.argv[1:2] == ["--measure"]:
    measure(sys.argv[2])
  else:
    app.run(main)
