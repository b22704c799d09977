"""Any model of ours as plain values, and back: a VAN or a segmenter."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from van_jax import errors
from van_jax.models import record, variants
from van_jax.models.heads import table
from van_jax.models.segmenter import Segmenter
from van_jax.models.van import VAN

_Handed = type[nn.Module] | str | None
_FIELDS = ("backbone", "head", "auxiliary", "num_classes")


def architecture(model: VAN | Segmenter) -> dict[str, Any]:
  """Returns the fields that the model's weights depend on, as JSON values.

  A segmenter's are those of its backbone, and of its heads.

  Raises:
    UserError: if they do not make the model, or one is none that JSON has.
  """
  if not isinstance(model, Segmenter):
    return variants.architecture(model)
  if type(model) is not Segmenter:
    raise errors.UserError(
      f"the model is a {type(model).__name__}, and files describe a Segmenter "
      "by its fields; put what is different into a head."
    )
  auxiliary = model.auxiliary
  if auxiliary is not None:
    auxiliary = record.to_json(table.AUXILIARY, auxiliary)
  return {
    "backbone": variants.architecture(model.backbone),
    "head": record.to_json(table.HEAD, model.head),
    "auxiliary": auxiliary,
    "num_classes": model.num_classes,
  }


def from_architecture(
  fields: Mapping[str, Any],
  attention: _Handed = None,
  *,
  head: _Handed = None,
  auxiliary: _Handed = None,
  **overrides: Any,
) -> Any:
  """Returns the VAN or the segmenter of an `architecture`.

  Args:
    fields: as `architecture` gives them, or gave them in older versions.
    attention: the class of the attention, or an import path that the caller
      trusts; for one that is not of `ATTENTIONS`.
    head: likewise the class of the head, for one that is not of `HEADS`.
    auxiliary: likewise.
    **overrides: fields of how to run the model.

  Raises:
    UserError: on missing or unknown fields, a bad value, or a stranger's
      module that is not handed over.
  """
  if "backbone" not in fields:
    return variants.from_architecture(fields, attention, **overrides)
  if odd := sorted(set(_FIELDS) ^ fields.keys()):
    raise errors.UserError(
      f"the architecture lacks, or has too many of, {', '.join(odd)}; a "
      f"segmenter's has {', '.join(_FIELDS)}."
    )
  num_classes = overrides.pop("num_classes", fields["num_classes"])
  second = fields["auxiliary"]
  if second is not None:
    second = record.from_json(table.AUXILIARY, second, auxiliary)
  return Segmenter(
    variants.from_architecture(fields["backbone"], attention, **overrides),
    record.from_json(table.HEAD, fields["head"], head),
    second,
    num_classes,
  )
