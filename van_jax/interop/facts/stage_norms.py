"""Which epsilon the stage norms of some weights were trained with.

It is no weight, so no file has it among them: the project decides, and what the
file says of its training. VAN-Segmentation and VAN-Detection changed it: their
classes van_tiny to van_large (from February 2022 on) have 1e-6, and the class
VAN that replaced them (by July 2022, commit df79bb3), as mmsegmentation's own,
torch's 1e-5.
"""

import dataclasses
import re
import time
from collections.abc import Mapping
from typing import Any

from van_jax.interop.facts import training_config
from van_jax.interop.names import key_tables, state_dicts

OLD, NEW = 1e-6, 1e-5
_OLD_CLASS = re.compile(r"type=['\"]van_(tiny|small|base|large|b\d)['\"]")
_NEW_CLASS = re.compile(r"type=['\"]VAN['\"]")
_OLD_UNTIL = (2022, 3)  # Year and month; nothing else was there before.
_PARTS = re.compile(
  r"decode_head|auxiliary_head|neck|bbox_head|rpn_head|roi_head|mask_head"
)


@dataclasses.dataclass(frozen=True)
class Epsilon:
  """The epsilon of four stage norms.

  Attributes:
    value: of it.
    doubt: why it could be another; "" where it is known.
  """

  value: float
  doubt: str = ""


def epsilon(weights: state_dicts.StateDict, tree: Mapping[Any, Any]) -> Epsilon:
  """Returns what the weights' project has, and what the file tells.

  Args:
    weights: their names.
    tree: of the file; OpenMMLab's programs note their config in its "meta".
  """
  table = weights.dialect.table
  if table != key_tables.OFFICIAL or weights.dialect.prefix != "backbone.":
    return Epsilon(table.layer_norm_epsilon)
  meta = tree.get("meta")
  dense = any(_PARTS.match(key) for key in weights.tensors)
  if not isinstance(meta, dict):
    if not dense:
      return Epsilon(table.layer_norm_epsilon)
    meta = {}
  config = training_config.text(tree)
  if _OLD_CLASS.search(config):
    return Epsilon(OLD)
  if _NEW_CLASS.search(config) or "mmengine_version" in meta:
    return Epsilon(NEW)
  when = _month(meta.get("time"))
  if when and when < _OLD_UNTIL:
    return Epsilon(OLD)
  return Epsilon(
    NEW,
    "the file does not tell which of the authors' codes trained it, and until "
    "2022 that had 1e-06",
  )


def _month(text: Any) -> tuple[int, int] | None:
  """Returns year and month of a time as mmcv writes it."""
  try:
    when = time.strptime(text)
  except (ValueError, TypeError):
    return None
  return when.tm_year, when.tm_mon
