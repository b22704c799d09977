"""The test sets that ImageNet-1k models are compared on: a table.

Folders are named as the authors' archives unpack. Sources:
val: ILSVRC 2012, arXiv 1409.0575. real: arXiv 2006.07159. v2: arXiv
1902.10811. a: arXiv 1907.07174. r: arXiv 2006.16241. sketch: arXiv
1905.13549. c: arXiv 1903.12261.
"""

import dataclasses

from van_jax import errors

NUM_CLASSES = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suite:
  """A test set.

  Attributes:
    title: for people.
    folders: names that its folder may have; the first that exists is read.
    num_classes: classes that it has, of the 1000. Where they are fewer,
      logits are restricted to them, as the authors do.
    num_images: of the whole set, as published.
    numbered: class folders are named "0" to "999", not by WordNet id.
    cropped: images are stored as the network sees them, at 224 pixels. The
      authors only crop at the centre; a resize and crop as for photographs
      would enlarge them, and cut off their borders, a second time.
  """

  title: str
  folders: tuple[str, ...]
  num_classes: int = NUM_CLASSES
  num_images: int
  numbered: bool = False
  cropped: bool = False


_VAL = ("val", "validation")

SUITES = {
  "val": Suite(
    title="ImageNet validation",
    folders=_VAL,
    num_images=50_000,
  ),
  "real": Suite(  # The same images; those without a label are not counted.
    title="ImageNet ReaL",
    folders=_VAL,
    num_images=50_000,
  ),
  "v2": Suite(
    title="ImageNet-V2, matched frequency",
    folders=("imagenetv2-matched-frequency-format-val",),
    num_images=10_000,
    numbered=True,
  ),
  "v2_threshold": Suite(
    title="ImageNet-V2, threshold 0.7",
    folders=("imagenetv2-threshold0.7-format-val",),
    num_images=10_000,
    numbered=True,
  ),
  "v2_top": Suite(
    title="ImageNet-V2, top images",
    folders=("imagenetv2-top-images-format-val",),
    num_images=10_000,
    numbered=True,
  ),
  "a": Suite(
    title="ImageNet-A",
    folders=("imagenet-a",),
    num_classes=200,
    num_images=7_500,
  ),
  "r": Suite(
    title="ImageNet-R",
    folders=("imagenet-r",),
    num_classes=200,
    num_images=30_000,
  ),
  "sketch": Suite(
    title="ImageNet-Sketch",
    folders=("sketch", "imagenet-sketch"),
    num_images=50_889,
  ),
  "c": Suite(  # Images of one corruption at one severity.
    title="ImageNet-C",
    folders=("imagenet-c", "ImageNet-C"),
    num_images=50_000,
    cropped=True,
  ),
}


def parse_names(names: str) -> tuple[str, ...]:
  """Returns the suites that a list such as "val,a,c" names, each once.

  Raises:
    UserError: for a name that is no suite's.
  """
  chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",")))
  for name in chosen:
    if name not in SUITES:
      raise errors.UserError(
        f"suite={names!r} names {name!r}, which is none; the suites are "
        f"{', '.join(SUITES)}, with commas between them."
      )
  return chosen
