"""Converts other projects' weights to bundles, proves it, and converts back."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import logging

from van_jax import bundle as bundle_lib, errors, storage
from van_jax.interop import export, identification, provenance
from van_jax.interop.assignment import arrays
from van_jax.interop.facts import class_names
from van_jax.interop.proof import official_arrays, photographs, verification
from van_jax.interop.readers import torch_file, weight_files

REPORT = "parity.json"  # In the bundle, where it was verified.
_SUSPICIOUS = 1e-3  # Of the logits' spread: ten times what rounding does.

Path = str | os.PathLike[str]


def convert(
  *,
  input: Path,
  output: Path,
  verify: bool = False,
  images: Path | None = None,
  labels: Path | None = None,
  overwrite: bool = False,
  **options: Any,
) -> dict[str, Any]:
  """Converts a file of weights to a bundle.

  Args:
    input: the file.
    output: the bundle's folder.
    verify: run PyTorch on the file and Flax on the bundle, and write what they
      differ by to `parity.json` in the bundle.
    images: folder of photographs to verify with; None for built-in ones.
    labels: text file with one class name a line; None for what the weights'
      file or ImageNet says.
    overwrite: replace a bundle that is there.
    **options: as for `read_weights`.

  Returns:
    What became of it; plain JSON values.

  Raises:
    UserError: if the file is damaged, unsafe, or not VAN's weights.
    UserError: if `output` exists and may not be replaced.
  """
  bundle_lib.check_destination(output, overwrite=overwrite, name="output")
  if images is not None and not verify:
    raise errors.UserError(
      f"images={images} are what a verification compares on; ask for one "
      "(--verify, or verify=True in Python), or leave them out."
    )
  photos = {}
  if verify:  # What is missing for it should be known before the work.
    torch_file.library()
    photos = photographs.read(images)
  names = None if labels is None else class_names.read(labels)
  with storage.local_copy(input) as weights:
    bundle = read_weights(weights, labels=names, **options)
    if verify:
      verification.check(bundle.model)
    output = storage.absolute(output)
    result = {"output": os.fspath(output), **bundle.source}
    logging.info("Writing %s.", output)
    # Renamed with its report: what asked for one is never there without.
    with storage.replacing(output) as draft:
      bundle_lib.save_bundle(
        draft,
        **{f.name: getattr(bundle, f.name) for f in dataclasses.fields(bundle)},
      )
      if verify:
        report = verify_bundle(draft, weights=weights, images=photos)
        result["logits_max_over_spread"] = report["logits_max_over_spread"]
        result["top1_agreement"] = report["top1_agreement"]
  return result


def read_weights(
  path: Path,
  *,
  averaged: bool | None = None,
  preprocessing: Mapping[str, Any] | None = None,
  labels: Sequence[str] | None = None,
  layer_norm_epsilon: float | None = None,
) -> bundle_lib.Bundle:
  """Reads a file of weights.

  The format is recognised from the names of the weights, the architecture from
  their shapes.

  Args:
    path: the file, an index of shards, or Hugging Face's folder of either.
    averaged: take the moving average that the file has of its weights, or do
      not; None for what the program that wrote it would load.
    preprocessing: fields of `Preprocessing` that are to differ from what
      the file's folder says, or published weights of this kind were trained
      for.
    labels: one name a class; None for what the file or ImageNet says.
    layer_norm_epsilon: of the four stage norms; None for what the file tells,
      or its project has.

  Raises:
    UserError: if the file is damaged, unsafe, or not VAN's weights.
  """
  with (
    storage.local_copy(path) as path,
    weight_files.open_weights(path) as contents,
  ):
    weights, config, assignment = identification.identify(
      contents, averaged, layer_norm_epsilon
    )
    chosen = identification.preprocessing(
      contents, weights, config, assignment.model
    ).replace(**(preprocessing or {}))
    if labels is None:
      labels, origin = class_names.choose(
        contents.tree, config, assignment.model.num_classes
      )
      logging.info("Class names: from %s.", origin)
    logging.info("%s", chosen)
    variables = arrays.read(assignment, _progress)
    source = provenance.describe(contents, weights, assignment)
  source["non_finite"] = arrays.non_finite(variables)
  for warning in provenance.warnings(source, weights):
    logging.warning("%s.", warning)
  return bundle_lib.Bundle(
    model=assignment.model,
    variables=variables,
    preprocessing=chosen,
    labels=None if labels is None else tuple(labels),
    source=source,
  )


def verify_bundle(
  bundle: Path,
  *,
  weights: Path,
  images: Mapping[str, bytes],
) -> dict[str, Any]:
  """Compares a bundle with the file it came from; prints and writes a report.

  Args:
    bundle: the folder.
    weights: the file.
    images: encoded ones by name.
  """
  logging.info("Verifying with %d images.", len(images))
  ours = bundle_lib.load_bundle(bundle)
  with storage.local_copy(weights) as file:
    theirs = official_arrays.read(file, averaged=ours.source["averaged"])
  report = verification.verify(
    ours.model,
    ours.variables,
    theirs,
    images=images,
    preprocessing=ours.preprocessing,
  )
  logging.info("%s", verification.table(report))
  if not report["logits_max_over_spread"] <= _SUSPICIOUS:  # NaN too.
    logging.warning(
      "The logits differ by more than rounding can: %s of their spread.",
      report["logits_max_over_spread"],
    )
  text = json.dumps(report, indent=2) + "\n"
  with storage.replacing(storage.absolute(bundle) / REPORT) as draft:
    draft.write_text(text, encoding="utf-8")
  return report


def convert_back(
  *,
  input: Path,
  output: Path,
  to: str,
  overwrite: bool = False,
  load: Callable[[Path], bundle_lib.Bundle] = bundle_lib.load_bundle,
) -> dict[str, Any]:
  """Writes weights as a file that another project loads unchanged.

  Args:
    input: a bundle, or whatever `load` reads.
    output: the file; for Hugging Face a folder.
    to: "official", "mmpretrain" or "huggingface".
    overwrite: replace what is there, if it is of the same kind.
    load: reads an `input` that is no bundle, a training workdir say.

  Returns:
    What became of it; plain JSON values.

  Raises:
    UserError: if the other project's code cannot run the model.
    UserError: if `output` exists and may not be replaced.
  """
  output = export.check_destination(output, to=to, overwrite=overwrite)
  is_bundle = bundle_lib.is_bundle(input)
  bundle = bundle_lib.load_bundle(input) if is_bundle else load(input)
  export.check(bundle.model, to=to)
  for note in export.notes(bundle.model, to=to):
    logging.warning("%s.", note)
  with storage.replacing(output) as draft, storage.local_draft(draft) as local:
    export.write(
      local,
      to=to,
      model=bundle.model,
      variables=bundle.variables,
      preprocessing=bundle.preprocessing,
      labels=bundle.labels,
      batches_seen=bundle.source.get("batches_seen", 0),
    )
  logging.info("Wrote %s.", output)
  return {"output": os.fspath(output), "format": to}


def _progress(done: int, total: int) -> None:
  if done == total or done * 10 // total > (done - 1) * 10 // total:
    logging.info("Read %d of %d arrays.", done, total)
