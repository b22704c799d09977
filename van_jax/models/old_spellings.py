"""Fields that VAN once had, and what they are called now."""

from collections.abc import Mapping
from typing import Any

from van_jax import errors
from van_jax.models import chosen
from van_jax.models.attention import lka, table

# Before there was a choice of attentions LKA's fields were VAN's.
_OF_LKA = {
  "kernel_size": "kernel_size",
  "dilation": "dilation",
  "gate": "gate",
  "lka_convs": "convs",
}


def as_now(fields: Mapping[str, Any]) -> dict[str, Any]:
  """Returns VAN's fields with old spellings replaced by today's.

  Raises:
    UserError: where old and new contradict each other.
  """
  fields = dict(fields)
  if "conv_implementation" in fields:
    old = fields.pop("conv_implementation")
    # It was of depthwise convolutions alone, and "xla" now is of everything.
    old = "grouped" if old == "xla" else old
    if fields.setdefault("implementation", old) != old:
      raise errors.UserError(
        f"conv_implementation={old!r} is the old spelling of implementation="
        f"{fields['implementation']!r}; give one of them."
      )
  old = {name: fields.pop(name) for name in _OF_LKA if name in fields}
  if old:
    given = fields.get("attention", "lka")
    fields["attention"] = _with_old(table.as_dict(given), old)
  return fields


def _with_old(
  attention: dict[str, Any], old: Mapping[str, Any]
) -> dict[str, Any]:
  """Returns an attention with LKA's fields by their old spellings."""
  field, value = next(iter(old.items()))
  cls = table.module_class(attention["name"])
  if cls is not lka.LargeKernelAttention:
    raise errors.UserError(
      f"{field}={value!r} is LKA's and attention.name is {table.label(cls)!r}; "
      f"set attention.{_OF_LKA[field]}, if it has one, or leave it out."
    )
  for field, value in old.items():
    given = attention.setdefault(_OF_LKA[field], value)
    if chosen.plain(given) != chosen.plain(value):
      raise errors.UserError(
        f"{field}={value!r} is the old spelling of attention."
        f"{_OF_LKA[field]}={given!r}; give one of them."
      )
  return attention
