"""Writes a bundle or a workdir as a program: StableHLO, SavedModel or ONNX.

python -m van_jax.export --checkpoint=BUNDLE --format=onnx --output=exported/b0

Weights for other projects' code are written by convert_torch_weights.py --to.
"""

import dataclasses
from typing import Any

from absl import app, flags

from van_jax.cli import command

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint",
  None,
  "What to export: a bundle's folder, a run's workdir, a released name "
  "(van_b0), https://... or hf://OWNER/NAME.",
  required=True,
)
_STEP = flags.DEFINE_string(
  "step", "latest", "Which checkpoint of a workdir: latest, best, or a number."
)
_FORMAT = flags.DEFINE_enum(
  "format",
  None,
  ["stablehlo", "savedmodel", "onnx"],
  "What to write; onnx needs van_jax[export].",
  required=True,
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "Folder to make, local or gs://...", required=True
)
_PREPROCESSING = flags.DEFINE_enum(
  "preprocessing",
  "included",
  ["included", "none"],
  "included: pixels go in, uint8 of 0 to 255; none: images that are normalised "
  "by the mean and std that export.json says.",
)
_FOLD = flags.DEFINE_bool(
  "fold_batch_norm",
  True,
  "Fold BatchNorm into the kernels beside it: faster, equal but for rounding.",
)
_IMAGE_SIZE = flags.DEFINE_integer(
  "image_size",
  None,
  "Pixels a side of the images; what the weights were trained for when left "
  "out.",
)
_CROP_PCT = flags.DEFINE_float(
  "crop_pct", None, "Size before the crop, timm's way: 0.9 say."
)
_ATTENTION = flags.DEFINE_string(
  "attention",
  None,
  "Import path, MODULE:CLASS, of an attention that is not van_jax's own; what "
  "the checkpoint names is not imported.",
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite", False, "Replace an export that is there."
)


def _export() -> dict[str, Any]:
  from van_jax import deployment, experiment, imports, parallel, released
  from van_jax.deployment import export as export_lib

  # What is wrong with these should be known before anything is fetched.
  export_lib.check(_OUTPUT.value, to=_FORMAT.value, overwrite=_OVERWRITE.value)
  own = _ATTENTION.value
  attention = None if own is None else imports.load(own, "attention")
  parallel.check_platforms()
  bundle = experiment.load_weights(
    released.local_bundle(_CHECKPOINT.value),
    step=_STEP.value,
    attention=attention,
  )
  sizes = {"image_size": _IMAGE_SIZE.value, "crop_pct": _CROP_PCT.value}
  given = {name: value for name, value in sizes.items() if value is not None}
  bundle = dataclasses.replace(
    bundle, preprocessing=bundle.preprocessing.replace(**given)
  )
  deployment.export_bundle(
    bundle,
    _OUTPUT.value,
    to=_FORMAT.value,
    preprocessing=_PREPROCESSING.value,
    fold_batch_norm=_FOLD.value,
    overwrite=_OVERWRITE.value,
  )
  return {"output": _OUTPUT.value, "format": _FORMAT.value}


def main(_) -> None:
  """Exports; what became of it is the last line, one line of JSON."""
  command.run(_export)


if __name__ == "__main__":
  app.run(main, flags_parser=command.parse_flags)
