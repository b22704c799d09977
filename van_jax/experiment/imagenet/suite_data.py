"""Where ImageNet's test sets lie on disk: finds and checks them.

Nothing is decoded, and no device is touched: a suite that is missing or
damaged is an error before any other suite has taken its hours.
"""

import dataclasses

import numpy as np
from absl import logging
from etils import epath

from van_jax import errors, storage
from van_jax.data.sources import folder, relabelled
from van_jax.data.sources.split import Split
from van_jax.evaluation.imagenet import corruption, real, suites
from van_jax.evaluation.imagenet.suites import Suite
from van_jax.experiment import sections
from van_jax.experiment.sections import Config
from van_jax.interop.facts import imagenet

_REAL_FILES = ("real.json", "reassessed-imagenet/real.json")


@dataclasses.dataclass(frozen=True)
class Part:
  """One pass over images: a suite, or ImageNet-C's at one severity.

  Attributes:
    suite: that it belongs to.
    name: the suite's, or such as "c/fog/3".
    split: labels are numbers of the 1000 classes; of images where there is a
      `label_table`.
    classes: [S] int32, rising; answers are chosen among them. All: None.
    label_table: [N, L] int32, the right labels by image, -1 for none.
  """

  suite: Suite
  name: str
  split: Split
  classes: np.ndarray | None = None
  label_table: np.ndarray | None = None

  @property
  def complete(self) -> bool:
    """Whether it has as many images as were published."""
    return self.split.size == self.suite.num_images


def open_suites(
  names: tuple[str, ...], directory: str | None, config: Config
) -> dict[str, tuple[Part, ...]]:
  """Finds all suites and checks that they are whole.

  Args:
    names: of the suites.
    directory: holds their folders, as the authors' archives unpack;
      `config.data.directory` when None.
    config: its evaluation split serves "val" and "real" where `directory` has
      no folder for them.

  Raises:
    UserError: one is missing or damaged.
  """
  given = config.data.directory if directory is None else directory
  root = storage.absolute(given)
  opened = {name: _open(name, root, config) for name in names}
  for parts in opened.values():
    _describe(parts[0])
  return opened


def _open(name: str, root: epath.Path, config: Config) -> tuple[Part, ...]:
  suite = suites.SUITES[name]
  if name == "c":
    return _open_corruptions(suite, root)
  if name in ("val", "real"):
    split = _validation(name, suite, root, config)
  else:
    split = _class_folders(suite, root, _folder(name, suite, root))
  if name == "real":
    return (_with_real_labels(suite, split, root, config),)
  present = _check_classes(suite, split)
  classes = present if suite.num_classes < suites.NUM_CLASSES else None
  return (Part(suite, name, split, classes),)


def _folder(name: str, suite: Suite, root: epath.Path) -> str:
  """Returns the name of a suite's folder below the root."""
  for candidate in suite.folders:
    if (root / candidate).is_dir():
      return candidate
  raise errors.UserError(
    f"suite {name!r}, {suite.title}, is not there: looked for "
    f"{' and '.join(str(root / f) for f in suite.folders)}. Unpack the "
    "authors' archive there, or name another --suite_directory."
  )


def _class_folders(
  suite: Suite, root: epath.Path, name: str
) -> folder.FileSplit:
  ids = imagenet.wordnet_ids()
  if suite.numbered:
    ids = tuple(str(number) for number in range(len(ids)))
  return relabelled.list_classes(str(root), name, ids)


def _validation(
  name: str, suite: Suite, root: epath.Path, config: Config
) -> Split:
  """Returns the folder with the validation images, or the config's split."""
  try:
    folder_name = _folder(name, suite, root)
  except errors.UserError as missing:
    try:
      source = sections.build(config, "data", train_split=None)
    except errors.UserError as error:
      raise errors.UserError(
        f"{missing} Nor is the config's evaluation split: {error}"
      ) from error
    assert source.evaluation is not None
    if source.class_names != imagenet.wordnet_ids():
      raise errors.UserError(
        f"{missing} The config's {source.evaluation.title} cannot stand in: it "
        "has other classes than ImageNet-1k's 1000, named by WordNet ids."
      ) from missing
    return source.evaluation
  return _class_folders(suite, root, folder_name)


def _check_classes(suite: Suite, split: Split) -> np.ndarray:
  """Returns the classes that a split of files has, all that it must have."""
  if not isinstance(split, folder.FileSplit):
    return np.arange(suites.NUM_CLASSES, dtype=np.int32)
  present = np.unique(split.labels)
  if len(present) != suite.num_classes:
    raise errors.UserError(
      f"{split.title} holds {len(present)} classes, and {suite.title} has "
      f"exactly {suite.num_classes}; unpack its whole archive into an empty "
      "folder."
    )
  return present


def _with_real_labels(
  suite: Suite, split: Split, root: epath.Path, config: Config
) -> Part:
  looked_for = [root / file for file in _REAL_FILES]
  found = [path for path in looked_for if path.is_file()]
  if not found:
    raise errors.UserError(
      f"suite 'real' has no labels: looked for "
      f"{' and '.join(map(str, looked_for))}; the file is in the repository "
      "google-research/reassessed-imagenet."
    )
  table = real.parse(
    found[0].read_text(), name=str(found[0]), num_classes=suites.NUM_CLASSES
  )
  if isinstance(split, folder.FileSplit):
    split = relabelled.number_files(split)
  else:
    split = relabelled.number_records(
      split,
      name=config.data.name,
      directory=config.data.directory,
      split_name=config.data.eval_split,
    )
  return Part(suite, "real", split, label_table=table)


def _open_corruptions(suite: Suite, root: epath.Path) -> tuple[Part, ...]:
  """Returns a part for each corruption and severity; all have one listing."""
  top = root / _folder("c", suite, root)
  extra = [n for n in corruption.EXTRA_CORRUPTIONS if (top / n).is_dir()]
  names = [
    f"{name}/{severity}"
    for name in (*corruption.CORRUPTIONS, *extra)
    for severity in corruption.SEVERITIES
  ]
  missing = [name for name in names if not (top / name).is_dir()]
  if missing:
    raise errors.UserError(
      f"suite 'c', {suite.title}: {top} has no folder {', '.join(missing[:8])} "
      f"({len(missing)} of {len(names)} missing); unpack all the archives "
      "(noise, blur, weather, digital) there, as CORRUPTION/SEVERITY/CLASS."
    )
  first = _class_folders(suite, top, names[0])
  parts = []
  for name in names:
    split = _class_folders(suite, top, name)
    if split.files != first.files:
      odd = sorted(set(split.files) ^ set(first.files))
      raise errors.UserError(
        f"{split.title} and {first.title} must hold the same images, and "
        f"differ in {len(odd)}, such as {odd[0]}; unpack their archives again."
      )
    # The names are held once: ImageNet-C has 4.75 million.
    shared = dataclasses.replace(first, title=split.title, root=split.root)
    parts.append(Part(suite, f"c/{name}", shared))
  return tuple(parts)


def _describe(part: Part) -> None:
  """Logs what is read, and warns of a set that is not whole."""
  size, title = part.split.size, part.split.title
  logging.info("%s: %d images, %s", part.name, size, title)
  if not part.complete:
    logging.warning(
      "%s holds %d images, and %s has %d: its scores are no published ones.",
      title,
      size,
      part.suite.title,
      part.suite.num_images,
    )
