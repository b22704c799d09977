"""The 1000 classes of ImageNet-1k: names and WordNet ids, in logit order.

From `imagenet1k.tsv`, the ILSVRC 2012 synset words of image-net.org, in the
order of their ids, which all published weights have. The names are those of
TensorFlow Datasets (datasets/siscore/labels.py, Apache-2.0), which tells the
two cranes apart.
"""

import functools
from collections.abc import Sequence
from importlib import resources


def labels() -> tuple[str, ...]:
  """Returns the names, such as "tench, Tinca tinca"."""
  return tuple(name for _, name in _rows())


def wordnet_ids() -> tuple[str, ...]:
  """Returns the ids, such as "n01440764"."""
  return tuple(wordnet_id for wordnet_id, _ in _rows())


def are_classes(names: Sequence[str]) -> bool:
  """Returns whether names are ImageNet-1k's, in its order.

  Lists of them differ in spelling, in which synonyms they have, and in whether
  the two cranes are told apart: of each name the first synonym is compared,
  and one in twenty may be another.
  """
  if len(names) != len(_rows()):
    return False
  same = sum(
    name == wordnet_id or _first_synonym(name) == _first_synonym(label)
    for name, (wordnet_id, label) in zip(names, _rows(), strict=True)
  )
  return same >= 0.95 * len(names)


def _first_synonym(name: str) -> str:
  return name.partition(",")[0].replace("_", " ").strip().lower()


@functools.cache
def _rows() -> tuple[tuple[str, str], ...]:
  table = resources.files("van_jax.interop.facts") / "imagenet1k.tsv"
  lines = table.read_text(encoding="utf-8").splitlines()
  pairs = (line.split("\t") for line in lines)
  return tuple((wordnet_id, name) for wordnet_id, name in pairs)
