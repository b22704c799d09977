"""Converts PyTorch or Paddle weights of VAN to a bundle, or weights back.

python convert_torch_weights.py --input=van_tiny_754.pth.tar --output=bundles/b0
python convert_torch_weights.py --input=van_b0.official --output=bundles/b0
python convert_torch_weights.py --input=bundles/b0 --output=b0.pth --to=official
"""

from absl import app, flags

from van_jax import errors
from van_jax.cli import command

_INPUT = flags.DEFINE_string(
  "input",
  None,
  "File of weights (.pth, .pth.tar, .ckpt, .bin, .safetensors, .pdparams) or a "
  "Hugging Face folder; a released name (van_b0, van_b4.in21k, ...), "
  "https://... or hf://OWNER/NAME[/FILE]; with --to, a bundle's folder or a "
  "run's workdir.",
)
_OUTPUT = flags.DEFINE_string(
  "output",
  None,
  "Folder of the bundle to write; with --to, the file of weights, or for "
  "huggingface the folder.",
)
_CACHE = flags.DEFINE_string(
  "cache",
  None,
  "Folder for what is downloaded; $VAN_JAX_CACHE or ~/.cache/van_jax when left "
  "out.",
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replace what is there, if it is of the same kind."
)
_TO = flags.DEFINE_enum(
  "to",
  None,
  ["official", "mmpretrain", "huggingface", "mmsegmentation"],
  "Convert back: write a bundle or a workdir as that project's weights.",
)
_OPTIONS = {
  "averaged": flags.DEFINE_bool(
    "averaged",
    None,
    "Take the moving average (EMA) that the file holds; --noaveraged, the "
    "weights beside it.",
  ),
  "layer_norm_epsilon": flags.DEFINE_float(
    "layer_norm_epsilon",
    None,
    "Of the stage norms, 1e-6 say; when left out, as the file tells.",
  ),
  "backbone_only": flags.DEFINE_bool(
    "backbone_only", False, "Of a segmenter's file, leave the heads out."
  ),
  "labels": flags.DEFINE_string(
    "labels",
    None,
    "Text file with one class name a line; when left out, the names in the "
    "file, or ImageNet's.",
  ),
  "verify": flags.DEFINE_bool(
    "verify",
    False,
    "Compare every stage with PyTorch's on photographs; parity.json in the "
    "bundle says by how much they differ.",
  ),
  "images": flags.DEFINE_string(
    "images", None, "Folder of JPEG and PNG files for --verify."
  ),
}
_PREPROCESSING = {  # None: as these weights were published for.
  "image_size": flags.DEFINE_integer(
    "image_size", None, "Pixels a side of what the network sees, 224 say."
  ),
  "resize_mode": flags.DEFINE_enum(
    "resize_mode",
    None,
    ["short_side", "warp"],
    "Bring the shorter side to --resize_size, or both sides.",
  ),
  "resize_size": flags.DEFINE_integer(
    "resize_size", None, "Pixels before the centre crop, 248 say."
  ),
  "crop_pct": flags.DEFINE_float(
    "crop_pct",
    None,
    "timm's way to say --resize_size: floor(image_size / crop_pct), 0.9 say.",
  ),
  "interpolation": flags.DEFINE_enum(
    "interpolation", None, ["bicubic", "bilinear", "lanczos"], "To resize by."
  ),
  "mean": flags.DEFINE_list(
    "mean", None, "Of each channel of [0, 1] pixels, 0.485,0.456,0.406 say."
  ),
  "std": flags.DEFINE_list(
    "std", None, "Of each channel of [0, 1] pixels, 0.229,0.224,0.225 say."
  ),
}


def _load_workdir(path):
  from van_jax import experiment

  return experiment.load_weights(path)


def _convert():
  from van_jax import parallel, released
  from van_jax.interop import convert as conversion

  local = released.local_bundle if _TO.value else released.local_file
  arguments = {
    "input": local(str(_INPUT.value), cache_dir=_CACHE.value),
    "output": _OUTPUT.value,
    "overwrite": _OVERWRITE.value,
  }
  parallel.check_platforms()
  options = {name: flag.value for name, flag in _OPTIONS.items()}
  given = {name: flag.value for name, flag in _PREPROCESSING.items()}
  given = {name: value for name, value in given.items() if value is not None}
  if not (to := _TO.value):
    return conversion.convert(**arguments, **options, preprocessing=given)
  for name, value in (options | given).items():
    if value:
      raise errors.UserError(
        f"--{name}={value} has no meaning with --to={to}, which writes the "
        "weights as they are; leave one of the two out."
      )
  return conversion.convert_back(**arguments, to=to, load=_load_workdir)


def main(_) -> None:
  """Converts; what became of it is the last line, one line of JSON."""
  command.run(_convert)


if __name__ == "__main__":
  flags.mark_flags_as_required(["input", "output"])
  app.run(main, flags_parser=command.parse_flags)
