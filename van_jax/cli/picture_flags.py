"""The flags that the commands of `van_jax.analysis` share, which draw."""

from typing import Any

from absl import flags

flags.disclaim_key_flags()  # They are the command's that defines them.

_SHARED = (
  "checkpoint",
  "output",
  "step",
  "attention",
  "overwrite",
  "image_size",
)


def define(*, image: str, count: int, counted: str) -> None:
  """Defines them, and says what images are for and how many are taken.

  Args:
    image: the help of --image.
    count: the default of --count.
    counted: the help of --count.
  """
  flags.DEFINE_string(
    "checkpoint",
    None,
    "The weights: a bundle's folder, a run's workdir, a released name "
    "(van_b0), https://... or hf://OWNER/NAME.",
    required=True,
  )
  flags.DEFINE_multi_string(
    "image", None, f"{image} May be given several times."
  )
  flags.DEFINE_string(
    "output", None, "File to draw to: .png, .svg or .pdf.", required=True
  )
  flags.DEFINE_integer("count", count, counted)
  flags.DEFINE_string(
    "step",
    "latest",
    "Which checkpoint of a workdir: latest, best, or a number.",
  )
  flags.DEFINE_string(
    "attention",
    None,
    "MODULE:CLASS of the weights' attention, where it is not van_jax's own.",
  )
  flags.DEFINE_integer(
    "image_size",
    None,
    "Pixels a side that images are brought to, without a margin to crop; when "
    "left out, as the weights were trained for.",
  )
  flags.DEFINE_bool("overwrite", False, "Replace the file if it is there.")


def values() -> dict[str, Any]:
  """Returns what they say, but for images and their number, by name."""
  return {name: flags.FLAGS[name].value for name in _SHARED}
