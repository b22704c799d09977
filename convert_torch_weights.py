"""Converts PyTorch or Paddle weights of VAN to a bundle, or weights back.

python convert_torch_weights.py --input=van_tiny_754.pth.tar --output=bundles/b0
python convert_torch_weights.py --input=bundles/b0 --output=b0.pth --to=official
"""

from absl import app, flags

from van_jax import errors
from van_jax.cli import command

_INPUT = flags.DEFINE_string(
  "input", None, "Weights; with --to, a bundle or workdir."
)
_OUTPUT = flags.DEFINE_string("output", None, "A bundle; with --to, weights.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace what is there.")
_TO = flags.DEFINE_enum(
  "to", None, ["official", "mmpretrain", "huggingface"], "Format to write."
)
_OPTIONS = {
  "averaged": flags.DEFINE_bool("averaged", False, "The file's EMA weights."),
  "labels": flags.DEFINE_string("labels", None, "File, a class name a line."),
  "verify": flags.DEFINE_bool("verify", False, "Compare with PyTorch."),
  "images": flags.DEFINE_string("images", None, "Folder to verify with."),
}
_PREPROCESSING = {  # None: as these weights were published for.
  "image_size": flags.DEFINE_integer("image_size", None, "Pixels a side."),
  "resize_mode": flags.DEFINE_string("resize_mode", None, "short_side, warp."),
  "resize_size": flags.DEFINE_integer("resize_size", None, "Before the crop."),
  "crop_pct": flags.DEFINE_float("crop_pct", None, "timm's; or resize_size."),
  "interpolation": flags.DEFINE_string("interpolation", None, "bicubic, ..."),
  "mean": flags.DEFINE_list("mean", None, "r,g,b of [0, 1] pixels."),
  "std": flags.DEFINE_list("std", None, "r,g,b of [0, 1] pixels."),
}


def _load_workdir(path):
  from van_jax import experiment

  return experiment.load_weights(path)


def _convert():
  from van_jax.interop import convert as conversion

  arguments = {
    "input": _INPUT.value,
    "output": _OUTPUT.value,
    "overwrite": _OVERWRITE.value,
  }
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
