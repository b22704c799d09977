"""A backbone with a head that gives every position its classes."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax

from van_jax import errors
from van_jax.models.batch_norm import BatchNorm
from van_jax.models.heads import table
from van_jax.models.van import VAN
from van_jax.models.variants import create_model


class Segmenter(nn.Module):
  """A VAN without classes of its own, and one or two heads on its maps.

  How to run it is the backbone's to say: dtype, remat, implementation, and how
  BatchNorm takes its statistics hold for the heads too. `clone` takes those
  fields as well as its own.

  Attributes:
    backbone: a VAN with num_classes=0.
    head: a name of `HEADS`, an import path MODULE:CLASS, or a flax module
      class; or a mapping with that as "name" and fields of the module. It is
      kept as a mapping of name and all fields.
    auxiliary: another head, which trains alone, likewise; None for none.
    num_classes: K.
  """

  backbone: VAN
  head: Any = "fpn"
  auxiliary: Any = None
  num_classes: int = 150

  def __post_init__(self):
    _check_fields(self)
    self.head = table.HEAD.described(self.head)
    if self.auxiliary is not None:
      self.auxiliary = table.AUXILIARY.described(self.auxiliary)
    super().__post_init__()

  @nn.nowrap
  def clone(self, **updates: Any) -> "Segmenter":
    """Returns a copy with other fields, the backbone's among them.

    Args:
      **updates: of the segmenter, or else of its backbone.
    """
    own = {field.name for field in dataclasses.fields(self)}
    there = {field.name for field in dataclasses.fields(VAN)} - own
    fields = {k: updates.pop(k) for k in there & updates.keys()}
    if fields:
      backbone = updates.get("backbone", self.backbone)
      updates["backbone"] = backbone.clone(**fields)
    return super().clone(**updates)

  def setup(self):
    """Makes the heads."""
    van = self.backbone
    norm = functools.partial(
      BatchNorm,
      van.batch_norm_group_size,
      van.batch_norm_frozen,
      dtype=van.dtype,
    )
    bound = {
      "num_classes": self.num_classes,
      "norm": None if van.folded else norm,
      "remat": van.remat,
      "implementation": van.implementation,
      "dtype": van.dtype,
    }
    self.decode_head = table.HEAD.make(self.head, name=None, **bound)
    if self.auxiliary is not None:
      self.auxiliary_head = table.AUXILIARY.make(
        self.auxiliary, name=None, **bound
      )

  def __call__(self, images: jax.Array, *, train: bool = False) -> Any:
    """Returns logits, [B, ceil(H / 4), ceil(W / 4), K], float32 or wider.

    In training with an auxiliary head it is {"logits": ..., "auxiliary": ...},
    and the second is at the stride of that head's map: 16 for FCN's.

    Args:
      images: [B, H, W, 3], normalised; H and W at least 32.
      train: use the batch's statistics, drop paths and channels. The default
        is for `init`, to which it makes no difference.

    Raises:
      UserError: on images that are too small, or not floating [B, H, W, 3].
    """
    maps = self.backbone.features(images, train=train)
    logits = self.decode_head(maps, train=train)
    if self.auxiliary is None or not (train or self.is_initializing()):
      return logits
    auxiliary = self.auxiliary_head(maps, train=train)
    return {"logits": logits, "auxiliary": auxiliary} if train else logits


def create_segmenter(
  name: str,
  *,
  num_classes: int,
  head: Any = "fpn",
  auxiliary: Any = None,
  **backbone_fields: Any,
) -> Segmenter:
  """Returns a segmenter on the VAN of that name.

  Args:
    name: one of `list_models()`, or of ALIASES.
    num_classes: K.
    head: as in `Segmenter`.
    auxiliary: likewise; "fcn" as UPerNet is published. A mapping whose name is
      None stands for None.
    **backbone_fields: fields of `VAN`, as `create_model` takes them.

  Raises:
    UserError: on a name or a field that does not exist, or a bad value.
  """
  backbone = create_model(name, num_classes=0, **backbone_fields)
  if hasattr(auxiliary, "keys") and auxiliary.get("name", "") is None:
    if others := [key for key in auxiliary if key != "name"]:
      raise errors.UserError(
        f"auxiliary.{others[0]}={auxiliary[others[0]]!r} is of an auxiliary "
        "head, and auxiliary.name=None is none; name one, 'fcn' say."
      )
    auxiliary = None
  return Segmenter(backbone, head, auxiliary, num_classes)


def _check_fields(segmenter: Segmenter) -> None:
  if not isinstance(segmenter.backbone, VAN):
    raise errors.UserError(
      f"backbone={segmenter.backbone!r} must be a VAN; make one with "
      "create_model(NAME, num_classes=0)."
    )
  if segmenter.backbone.num_classes:
    raise errors.UserError(
      f"backbone.num_classes={segmenter.backbone.num_classes} must be 0: the "
      "head gives the classes; take backbone.clone(num_classes=0)."
    )
  if segmenter.num_classes < 1:
    raise errors.UserError(
      f"num_classes={segmenter.num_classes} must be at least 1 for a segmenter."
    )
