"""Writes a bundle as a program: a folder, all of it or nothing."""

import os
import pathlib

from van_jax import bundle as bundle_lib, errors, imports, places, storage
from van_jax.deployment import description, program as program_lib
from van_jax.deployment.formats import FORMATS


def export_bundle(
  bundle: bundle_lib.Bundle,
  path: str | os.PathLike[str],
  *,
  to: str,
  preprocessing: str = program_lib.INCLUDED,
  fold_batch_norm: bool = True,
  overwrite: bool = False,
) -> None:
  """Writes a bundle as a program that others run, for any batch size.

  The folder has the program and `export.json`, which says what goes in and
  comes out, the preprocessing, and the labels. Resizing and cropping are the
  caller's: `van_jax.data.preprocess_image` does them, and any library that
  resizes as Pillow does.

  Args:
    bundle: the weights; their preprocessing says the size of the images.
    path: the folder to make.
    to: "stablehlo", "savedmodel" or "onnx".
    preprocessing: "included" takes pixels, uint8 of 0 to 255, [B, H, W, 3];
      "none" takes normalised images, float32.
    fold_batch_norm: leave its passes out, equal to rounding.
    overwrite: replace an export that is there.

  Raises:
    UserError: if `to` or `preprocessing` is none of these, what makes the
      format is not installed, or `path` is there and may not be replaced.
  """
  if not isinstance(bundle, bundle_lib.Bundle):
    raise errors.UserError(
      f"bundle is of type {type(bundle).__name__} and must be a "
      "van_jax.Bundle; van_jax.load_bundle(PATH) and fit.bundle() return one."
    )
  check(path, to=to, overwrite=overwrite)
  chosen = FORMATS[to]
  program = program_lib.create_program(
    bundle, preprocessing=preprocessing, fold_batch_norm=fold_batch_norm
  )
  fields = description.describe(
    bundle, program, to=to, file=chosen.file, libraries=chosen.libraries
  )
  with storage.replacing(path) as draft, storage.local_draft(draft) as local:
    local.mkdir()
    chosen.write(program, local)
    (local / description.NAME).write_text(
      description.text(fields), encoding="utf-8"
    )


def check(path: str | os.PathLike[str], *, to: str, overwrite: bool) -> None:
  """Raises UserError unless an export may be written at `path`."""
  if not isinstance(to, str) or to not in FORMATS:
    raise errors.UserError(
      f"to={to!r} is no format; {imports.nearest(to, FORMATS)}."
    )
  ending = pathlib.PurePath(path).suffix
  if ending in {pathlib.PurePath(row.file).suffix for row in FORMATS.values()}:
    raise errors.UserError(
      f"output={os.fspath(path)} must be a folder to make, which gets "
      f"{FORMATS[to].file}; leave out {ending}."
    )
  FORMATS[to].check()
  places.check_own(
    path,
    "output",
    kind="an exported bundle",
    is_own=lambda place: (place / description.NAME).exists(),
    overwrite=overwrite,
  )
