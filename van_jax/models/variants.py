"""The published VANs by name, and architectures as plain values."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from van_jax import errors, imports
from van_jax.models import old_spellings, record
from van_jax.models.attention import table
from van_jax.models.van import VAN


@dataclasses.dataclass(frozen=True)
class Variant:
  """One column of the paper's Table 5, stage by stage."""

  widths: tuple[int, ...]
  depths: tuple[int, ...]
  ffn_ratios: tuple[int, ...] = (8, 8, 4, 4)


# arXiv:2202.09741, Tables 5 and 8. B6 is the OpenMMLab table's (283.9 M
# parameters); the paper and the authors' code make its stage 3 narrower.
VARIANTS = {
  "van_b0": Variant((32, 64, 160, 256), (3, 3, 5, 2)),
  "van_b1": Variant((64, 128, 320, 512), (2, 2, 4, 2)),
  "van_b2": Variant((64, 128, 320, 512), (3, 3, 12, 3)),
  "van_b3": Variant((64, 128, 320, 512), (3, 5, 27, 3)),
  "van_b4": Variant((64, 128, 320, 512), (3, 6, 40, 3)),
  "van_b5": Variant((96, 192, 480, 768), (3, 3, 24, 3)),
  "van_b6": Variant((96, 192, 480, 768), (6, 6, 90, 6)),
  "van_b6_paper": Variant((96, 192, 384, 768), (6, 6, 90, 6)),
}

# The names that the paper and the authors' files call them by.
ALIASES = {
  "van_tiny": "van_b0",
  "van_small": "van_b1",
  "van_base": "van_b2",
  "van_large": "van_b3",
}

# The fields of VAN that its weights were made for; the rest is how to run it.
_ARCHITECTURE_FIELDS = (
  "widths",
  "depths",
  "ffn_ratios",
  "num_classes",
  "layer_scale_init",
  "attention",
  "layer_norm_epsilon",
)


def list_models() -> tuple[str, ...]:
  """Returns the names that `create_model` takes."""
  return tuple(VARIANTS)


def variant_name(model: VAN) -> str | None:
  """Returns the name of the published variant that a model is, if any."""
  own = (tuple(model.widths), tuple(model.depths), tuple(model.ffn_ratios))
  for name, row in VARIANTS.items():
    if own == (row.widths, row.depths, row.ffn_ratios):
      return name
  return None


def create_model(name: str, *, num_classes: int = 1000, **overrides) -> VAN:
  """Returns the VAN of that name, with other fields as given.

  Args:
    name: one of `list_models()`, or of ALIASES.
    num_classes: of the head; 0 for no head.
    **overrides: fields of `VAN`, or their `old_spellings`; sequences may be
      lists, dtype may be a name. A None for widths, depths or ffn_ratios
      leaves the variant's.

  Raises:
    UserError: on a name or a field that does not exist, or a bad value.
  """
  known = VARIANTS | {name: VARIANTS[of] for name, of in ALIASES.items()}
  if name not in known:
    raise errors.UserError(
      f"name={name!r} is not a model; {imports.nearest(name, known)}."
    )
  fields = dataclasses.asdict(known[name])
  overrides = {
    field: value
    for field, value in overrides.items()
    if field not in fields or value is not None
  }
  return _build(fields | {"num_classes": num_classes} | overrides)


def architecture(model: VAN) -> dict[str, Any]:
  """Returns the fields that the model's weights depend on, as JSON values.

  Raises:
    UserError: if they do not make the model: it is not quite a VAN, or its
      attention has a field that JSON cannot hold.
  """
  if type(model) is not VAN:
    raise errors.UserError(
      f"the model is a {type(model).__name__}, and files describe a VAN by its "
      "fields; put what is different into an attention module."
    )
  fields = {name: getattr(model, name) for name in _ARCHITECTURE_FIELDS}
  fields["attention"] = record.to_json(table.CHOICE, model.attention)
  return {
    name: list(value) if isinstance(value, tuple) else value
    for name, value in fields.items()
  }


def from_architecture(
  fields: Mapping[str, Any],
  attention: type[nn.Module] | str | None = None,
  **overrides: Any,
) -> VAN:
  """Returns the VAN of an `architecture`, with other fields as given.

  Args:
    fields: as `architecture` gives them, or gave them in older versions.
    attention: the class of the attention, or an import path that the caller
      trusts; for one that is not of `ATTENTIONS`.
    **overrides: fields of how to run the model.

  Raises:
    UserError: on missing or unknown fields, a bad value, or a stranger's
      attention that is not handed over.
  """
  fields = old_spellings.as_now(fields)
  missing = sorted(set(_ARCHITECTURE_FIELDS) - set(fields))
  if missing:
    raise errors.UserError(
      f"the architecture lacks {', '.join(missing)}; all of "
      f"{', '.join(_ARCHITECTURE_FIELDS)} must be given."
    )
  fields["attention"] = record.from_json(
    table.CHOICE, fields["attention"], attention
  )
  return _build(fields | overrides)


def _build(fields: dict[str, Any]) -> VAN:
  fields = old_spellings.as_now(fields)
  known = {f.name for f in dataclasses.fields(VAN)} - {"parent", "name"}
  for name in fields:
    if name not in known:
      raise errors.UserError(
        f"{name}={fields[name]!r} is not a field of VAN; "
        f"{imports.nearest(name, known)}."
      )
  values: dict[str, Any] = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in fields.items()
  }
  if "dtype" in values:
    values["dtype"] = _dtype(values["dtype"])
  return VAN(**values)


def _dtype(name: DTypeLike) -> jnp.dtype:
  try:
    return jnp.dtype(name)
  except TypeError as error:
    raise errors.UserError(
      f"dtype={name!r} is not a type of numbers; take float32 or bfloat16."
    ) from error
