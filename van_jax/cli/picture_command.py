"""A command of `van_jax.analysis` that draws: flags, and how it runs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from absl import app, flags

from van_jax.cli import command

flags.disclaim_key_flags()  # They are the command's that defines them.

# What all of them are told about weights and output, as `pictures.Request` is.
_REQUEST = (
  "checkpoint",
  "output",
  "step",
  "attention",
  "head",  # Of commands that draw what segmenters see, as is the next.
  "auxiliary",
  "overwrite",
  "image_size",
)

Drawing = Callable[..., Mapping[str, Any]]


def define(
  *,
  image: str,
  count: int,
  counted: str,
  required: bool = False,
  resized: bool = True,
) -> None:
  """Defines the flags that the commands share.

  Only the module that is run defines flags: two commands that are imported
  would define the same ones.

  Args:
    image: the help of --image.
    count: the default of --count.
    counted: the help of --count.
    required: whether --image must be given.
    resized: whether --image_size may say what images are brought to.
  """
  flags.DEFINE_string(
    "checkpoint",
    None,
    "The weights: a bundle's folder, a run's workdir, a released name "
    "(van_b0), https://... or hf://OWNER/NAME.",
    required=True,
  )
  flags.DEFINE_multi_string(
    "image",
    None if required else [],
    f"{image} May be given several times.",
    required=required,
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
  if resized:
    flags.DEFINE_integer(
      "image_size",
      None,
      "Pixels a side that images are brought to, without a margin to crop; "
      "when left out, as the weights were trained for.",
    )
  flags.DEFINE_bool("overwrite", False, "Replace the file if it is there.")


def run(draw: Drawing, own: Iterable[str]) -> None:
  """Parses the flags, draws, and ends as scripts do.

  What was drawn is the last line, one line of JSON.

  Args:
    draw: takes the fields of a `pictures.Request`, and by name images, count
      and the command's own flags; it is called once all flags are right.
    own: the command's own flags, by name.
  """
  names = ("image", "count", *own)
  app.run(
    lambda _: command.run(lambda: draw(_values(_REQUEST), **_values(names))),
    flags_parser=command.parse_flags,
  )


def _values(names: Iterable[str]) -> dict[str, Any]:
  return {
    name: flags.FLAGS[name].value for name in names if name in flags.FLAGS
  }
