"""The parts of a recipe by name: what each one's options are, and its end.

Sections and options are called as a config's. What is not said is the official
recipe's; only the course of the learning rate is made for runs of any length.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from van_jax import data, errors, imports, signatures
from van_jax.training.recipe import (
  ema,
  erasing,
  losses,
  mixing,
  optimizers,
  schedules,
)

Options = dict[str, dict[str, Any]]


class Section(NamedTuple):
  """A row of the table.

  Attributes:
    builder: takes the section's options as keywords.
    given: those of its arguments that come from elsewhere.
  """

  builder: Callable[..., Any]
  given: tuple[str, ...] = ()


SECTIONS = {
  "augmentation": Section(data.Augmentation, ("image_size",)),
  "preprocessing": Section(data.Preprocessing, ("exif_rotation",)),
  "mixing": Section(mixing.mix, ("key", "images", "labels", "num_classes")),
  "erasing": Section(erasing.erase, ("key", "images")),
  "loss": Section(losses.create_loss),
  "schedule": Section(
    schedules.create_schedule, ("learning_rate", "epochs", "steps_per_epoch")
  ),
  "optimizer": Section(optimizers.create_optimizer, ("schedule",)),
  "ema": Section(ema.averager),
}

# Name: the options that switch it off, by section.
PARTS: dict[str, Options] = {
  "random_resized_crop": {"augmentation": {"crop": "none"}},
  "flip": {"augmentation": {"flip_probability": 0.0}},
  # Or colour jitter would come in its place, as timm has it.
  "randaugment": {"augmentation": {"policy": "none", "color_jitter": 0.0}},
  "mixup": {"mixing": {"mixup_alpha": 0.0}},
  "cutmix": {"mixing": {"cutmix_alpha": 0.0}},
  "label_smoothing": {"mixing": {"label_smoothing": 0.0}},
  "erasing": {"erasing": {"probability": 0.0}},
  "weight_decay": {"optimizer": {"weight_decay": 0.0}},
  "warmup": {"schedule": {"warmup_epochs": 0.0}},
}

# Name: several of them.
GROUPS = {
  "augmentation": ("random_resized_crop", "flip", "randaugment"),
  "mixing": ("mixup", "cutmix"),
  "all": tuple(PARTS),
}


def options(
  without: str | Sequence[str], given: Mapping[str, Mapping[str, Any]]
) -> Options:
  """Returns the options of each section, those of `PARTS` among them.

  Args:
    without: names of `PARTS` or `GROUPS`; a single one may be a string.
    given: by section, as the user wrote them.

  Raises:
    UserError: for an unknown part or option, with the nearest, or an option
      that is given and switched off.
  """
  for name, own in given.items():
    if not isinstance(own, Mapping) or not all(isinstance(k, str) for k in own):
      raise errors.UserError(
        f"{name}={own!r} must be a mapping from names of options to values, "
        f"{name}={{NAME: VALUE}}."
      )
    more = own.get("options")
    if more is not None and not isinstance(more, Mapping):
      raise errors.UserError(
        f"{name}.options={more!r} must be a mapping from names of options to "
        "values, or None."
      )
  found: Options = {name: dict(given.get(name, {})) for name in SECTIONS}
  for name, row in SECTIONS.items():
    signatures.check(row.builder, found[name], name, given=row.given)
  for part in _parts(without):
    for section, off in PARTS[part].items():
      if both := sorted(off.keys() & given.get(section, {}).keys()):
        raise errors.UserError(
          f"{section}.{both[0]} is given, and without={part!r} sets it to "
          f"{off[both[0]]!r}; leave one of the two out."
        )
      found[section].update(off)
  return found


def _parts(without: str | Sequence[str]) -> list[str]:
  known = PARTS | GROUPS
  names = [without] if isinstance(without, str) else without
  if not isinstance(names, Iterable):
    raise errors.UserError(
      f"without={without!r} must be a part of the recipe by name, or several; "
      f"there are {', '.join(known)}."
    )
  parts = []
  for name in names:
    if not isinstance(name, str) or name not in known:
      raise errors.UserError(
        f"without={name!r} is no part of the recipe; "
        f"{imports.nearest(name, known)}."
      )
    parts += [name] if name in PARTS else GROUPS[name]
  return list(dict.fromkeys(parts))  # A group may hold what is named too.
