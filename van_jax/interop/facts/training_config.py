"""What the config in an OpenMMLab checkpoint's "meta" tells; it is only read.

It is the text of a Python file. Nothing of it is run: what is looked for are
numbers after a name, as mmcv and mmengine print them.
"""

import re
from collections.abc import Mapping
from typing import Any

from van_jax import errors
from van_jax.data.images import dense_preprocessing

_LENGTH = 1 << 20  # Characters that are searched.
_NUMBERS = r"[(\[]([\d., \n]{1,100})[)\]]"
_TEST = re.compile(r"^test_pipeline\s*=\s*\[(.*?)^\]", re.M | re.S)
_PIXEL = 255


def text(tree: Mapping[Any, Any]) -> str:
  """Returns the config of a file's "meta", or its beginning; "" for none.

  Args:
    tree: of the file.
  """
  meta = tree.get("meta")
  if not isinstance(meta, dict):
    return ""
  config = meta.get("config") or meta.get("cfg")
  return config[:_LENGTH] if isinstance(config, str) else ""


def pool_scales(config: str) -> tuple[int, ...] | None:
  """Returns UPerNet's `pool_scales`; None where the config has none."""
  numbers = _numbers(config, "pool_scales")
  return None if numbers is None else tuple(map(int, numbers))


def dropout_rate(config: str, part: str) -> float | None:
  """Returns a head's `dropout_ratio`; None where the config has none.

  Args:
    config: as `text` gives it.
    part: of the model, "decode_head" or "auxiliary_head".
  """
  found = re.search(r"\bdropout_ratio\s*=\s*([-+.\de]+)", _own(config, part))
  if found is None:
    return None
  try:
    rate = max(float(found[1]), 0.0)  # mmsegmentation's -1 drops nothing.
  except ValueError:
    return None
  return rate if rate < 1 else None


def check_corners(config: str) -> None:
  """Raises UserError where maps are resized as none are here."""
  if re.search(r"\balign_corners\s*=\s*True", config):
    raise errors.UserError(
      "its config has align_corners=True, and the heads here resize their maps "
      "with False, as the published ones: the masks would be other ones; "
      "--backbone_only (backbone_only=True in Python) takes the backbone."
    )


def preprocessing(config: str) -> dense_preprocessing.DensePreprocessing:
  """Returns what a segmenter's images were tested with.

  It is what the config's test pipeline says, and the authors' for ADE20K where
  it is silent.

  Raises:
    UserError: on numbers that cannot be.
  """
  fields: dict[str, Any] = {}
  for name in ("mean", "std"):
    numbers = _numbers(config, name) or []
    if len(numbers) == 3:
      # 57.12 / 255 is 0.22399999999999998: another number than 0.224.
      fields[name] = tuple(round(number / _PIXEL, 9) for number in numbers)
  if (test := _TEST.search(config)) is None:
    return dense_preprocessing.DensePreprocessing(**fields)
  if re.search(r"\bimg_scale\s*=\s*None", test[1]):
    fields["scale"] = None
  numbers = _numbers(test[1], "(?:img_)?scale") or []
  if len(numbers) == 2:  # In either order there.
    fields["scale"] = tuple(sorted(map(int, numbers), reverse=True))
  if divisor := re.search(r"\bsize_divisor\s*=\s*(\d{1,4})\b", test[1]):
    fields["multiple"] = int(divisor[1])
  elif "AlignResize" not in test[1]:  # Whose own is 32.
    fields["multiple"] = 1
  return dense_preprocessing.DensePreprocessing(**fields)


def _own(config: str, name: str) -> str:
  """Returns what the first dict of a name has outside of inner brackets."""
  match = re.search(rf"\b{name}\s*=\s*dict\(", config)
  if match is None:
    return ""
  depth, own = 1, []
  for character in config[match.end() :]:
    depth += (character in "([{") - (character in ")]}")
    if not depth:
      break
    if depth == 1:
      own.append(character)
  return "".join(own)


def _numbers(config: str, name: str) -> list[float] | None:
  """Returns the numbers of the first tuple or list of that name."""
  match = re.search(rf"\b{name}\s*=\s*{_NUMBERS}", config)
  if match is None:
    return None
  try:
    return [float(word) for word in match[1].split(",") if word.strip()]
  except ValueError:
    return None
