"""Parameters, multiply-adds and published FLOPs, counted from the module.

  python -m van_jax.analysis.complexity [van_b0 ...] [--image_size=224]
  python -m van_jax.analysis.complexity --ablations [w_o_dw ...]

The model is traced on shapes alone, so nothing is computed or allocated.
"""

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from van_jax import errors, models
from van_jax.analysis.additions import additions
from van_jax.analysis.multiply_adds import multiply_adds


@dataclasses.dataclass(frozen=True)
class Complexity:
  """The size and cost of a model for one image.

  Attributes:
    params: trainable numbers, those of an auxiliary head too.
    macs: multiply-adds of convolutions, linear layers and other products of
      matrices, whatever an attention is made of; in inference, which an
      auxiliary head has no part in.
    flops: as published for VAN: macs, and what `additions` has of biases,
      norms and a segmentation head's ReLU and pooling; VAN's own activations,
      gates, residuals and layer scales are not counted.
    stage_shapes: (H, W, C) of each stage's map.
  """

  params: int
  macs: int
  flops: int
  stage_shapes: tuple[tuple[int, ...], ...]


def complexity(
  model: models.VAN | models.Segmenter,
  image_size: int | tuple[int, int] = 224,
) -> Complexity:
  """Returns the complexity of the model for one image of that size.

  Args:
    model: any VAN, or a segmenter.
    image_size: height and width, at least 32; one number for a square.

  Raises:
    UserError: if the image is too small.
  """
  height, width = (
    (image_size, image_size) if isinstance(image_size, int) else image_size
  )
  images = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
  key = jax.eval_shape(lambda: jax.random.key(0))
  counter = _Counter()
  # Of XLA's operations there is one a convolution; of ours there are loops.
  model = model.clone(implementation="xla")
  variables = jax.eval_shape(model.init, key, images)
  with nn.intercept_methods(counter):
    program = jax.make_jaxpr(model.apply)(variables, images)
  macs = multiply_adds(program)
  params = jax.tree.leaves(variables["params"])
  return Complexity(
    params=sum(math.prod(p.shape) for p in params),
    macs=macs,
    flops=macs + counter.additions,
    stage_shapes=counter.stage_shapes,
  )


class _Counter:
  """Watches module calls, and counts what is no product."""

  def __init__(self):
    self.additions = 0
    self.stage_shapes = ()

  def __call__(self, call, args, kwargs, context):
    result = call(*args, **kwargs)
    if context.method_name == "__call__":
      self.additions += additions(context.module, args, result)
    elif context.method_name == "features":
      self.stage_shapes = tuple(x.shape[1:] for x in result)
    return result


def table(
  rows: Mapping[str, Complexity], printed: Mapping[str, str] | None = None
) -> str:
  """Returns the rows, by name, as a table to print.

  Args:
    rows: their counts.
    printed: what is published of each, in place of the shapes of its stages.
  """
  last = {name: _stages(row) for name, row in rows.items()}
  heading = "stages (HxWxC)" if printed is None else "published"
  lines = [f"{'model':<14}{'params':>13}{'GMACs':>10}{'GFLOPs':>10}  {heading}"]
  for name, row in rows.items():
    lines.append(
      f"{name:<14}{row.params:>13,}{row.macs / 1e9:>10.4f}"
      f"{row.flops / 1e9:>10.4f}  {(printed or last)[name]}"
    )
  return "\n".join(lines)


def _stages(row: Complexity) -> str:
  return " ".join("x".join(map(str, shape)) for shape in row.stage_shapes)


def published(row: models.Ablation) -> str:
  """Returns where an ablation is from, and what is printed of it."""
  if row.params is None:
    return row.source
  figures = f"{row.params} M, {row.flops} G, {row.top1} %"
  return f"{row.source}: {figures}"


def main(argv: Sequence[str] | None = None) -> None:
  """Prints the table of the models named in argv, of all of them if none."""
  parser = argparse.ArgumentParser(
    prog="python -m van_jax.analysis.complexity",
    description="Prints exact parameters, multiply-adds and FLOPs.",
  )
  parser.add_argument(
    "names",
    nargs="*",
    metavar="model",
    help=f"any of {', '.join(models.list_models())}, or with --ablations of "
    f"{', '.join(models.ABLATIONS)}; all of them if none",
  )
  parser.add_argument(
    "--ablations",
    action="store_true",
    help="published ablations, and what is printed of them (at 224, with a "
    "head of 1000)",
  )
  parser.add_argument(
    "--image_size", type=int, default=224, help="pixels a side; default 224"
  )
  parser.add_argument(
    "--num_classes",
    type=int,
    default=1000,
    help="outputs of the head, 0 for no head; default 1000",
  )
  flags = parser.parse_args(argv)
  create, known = models.create_model, models.list_models()
  if flags.ablations:
    create, known = models.create_ablation, tuple(models.ABLATIONS)
  try:
    rows = {
      name: complexity(
        create(name, num_classes=flags.num_classes), flags.image_size
      )
      for name in flags.names or known
    }
  except errors.UserError as error:
    meant = not flags.ablations and {*flags.names} & {*models.ABLATIONS}
    hint = f" Ablations want --ablations: {', '.join(meant)}." if meant else ""
    parser.error(f"{error}{hint}")
  printed = None
  if flags.ablations:
    printed = {name: published(models.ABLATIONS[name]) for name in rows}
  print(table(rows, printed))


if __name__ == "__main__":
  main()
