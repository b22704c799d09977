"""Segmenters in Flax and in PyTorch on the same weights: how far apart.

  python -m benchmarks.segmenter_parity --head=fpn --size=512x512
  python -m benchmarks.segmenter_parity --head=upernet --size=337x513 [--double]

Prints, of one forward and backward pass, the largest difference of logits and
of any parameter's gradient, each over the largest value there is (a gradient's
over a thousandth of the largest of all, at least); in float32 both, or in
float64. `--exact` has PyTorch compute in float64 too, and prints how far the
two float32 ones are from that: what separates them from each other is rounding
where the one is no farther than the other. In gradients a ReLU whose argument
is within rounding of 0 takes a whole position in or out, of sums over
positions that mostly cancel.

The weights are random, statistics are those of noise, and the gradient is of a
random sum of all logits. `--train` takes statistics of the batch (two images
at least), and compares the running ones.
"""

import argparse
import re
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import traverse_util

from van_jax import models
from van_jax.interop.proof import torch_segmenter, torch_van

HEADS = {
  "fpn": torch_segmenter.semantic_fpn,
  "upernet": torch_segmenter.upernet,
}
CLASSES = 150


def torch_model(
  head: str, variant: models.Variant, num_classes: int, **fields: int
) -> torch_segmenter.TorchSegmenter:
  """Returns a segmenter without dropout, its weights as after training.

  Args:
    head: of HEADS.
    variant: of the backbone.
    num_classes: of the head.
    **fields: channels, of the head's function.
  """
  torch.manual_seed(0)
  backbone = torch_van.TorchVAN(
    variant.widths, variant.depths, variant.ffn_ratios, num_classes=0
  )
  model = HEADS[head](
    backbone, variant.widths, num_classes, dropout=0.0, **fields
  )
  for name, value in model.state_dict().items():
    if "layer_scale" in name:
      value.uniform_(0.1, 0.5)
    elif "bias" in name:
      value.normal_(0, 0.2)
  _settle(model)
  return model


def _settle(model: torch_segmenter.TorchSegmenter) -> None:
  """Sets running statistics to those of noise: with others maps may explode."""
  norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
  for norm in norms:
    norm.momentum = 1.0
  with torch.no_grad():
    model.train()(torch.randn(4, 3, 96, 96))
  for norm in norms:
    norm.momentum = 0.1


def flax_model(head: str, variant: models.Variant, num_classes: int, **fields):
  """Returns the same segmenter in Flax; arguments as of `torch_model`."""
  auxiliary = fields.pop("auxiliary_channels", 256)
  second = {"name": "fcn", "dropout_rate": 0.0, "channels": auxiliary}
  backbone = models.VAN(
    variant.widths, variant.depths, variant.ffn_ratios, num_classes=0
  )
  return models.Segmenter(
    backbone,
    {"name": head, "dropout_rate": 0.0, **fields},
    second if head == "upernet" else None,
    num_classes,
  )


def here(named: Mapping[str, torch.Tensor | None]) -> dict[str, np.ndarray]:
  """Returns tensors of mmsegmentation's names by our paths, in our layout."""
  found = {}
  for name, tensor in named.items():
    path = re.sub(r"\.(\d+)(?=\.)", r"_\1", name)
    path = re.sub("^neck", "decode_head.neck", path)
    *parents, leaf = path.replace("dwconv.dwconv", "dwconv").split(".")
    if leaf == "num_batches_tracked" or tensor is None:
      continue
    value = tensor.detach().numpy()
    if leaf == "weight":
      leaf = "scale" if value.ndim == 1 else "kernel"
    if value.ndim == 4:
      value = value.transpose(2, 3, 1, 0)
    kind = "batch_stats" if leaf.startswith("running_") else "params"
    leaf = leaf.removeprefix("running_")
    found["/".join((kind, *parents, leaf))] = value.copy()
  return found


def run_torch(model: Any, images: np.ndarray, weights: Any, train: bool) -> Any:
  """Returns logits by name, gradients and running statistics by path."""
  model.train(train)
  x = torch.from_numpy(images).permute(0, 3, 1, 2)
  logits, auxiliary = model(x.contiguous(memory_format=torch.channels_last))
  outputs = {"logits": logits.permute(0, 2, 3, 1)}
  if auxiliary is not None and train:
    outputs["auxiliary"] = auxiliary.permute(0, 2, 3, 1)
  loss: Any = sum(
    torch.sum(
      output * torch.from_numpy(weights(name, output.shape)).to(output.dtype)
    )
    for name, output in outputs.items()
  )
  if torch.is_grad_enabled():
    loss.backward()
  gradients = here({n: p.grad for n, p in model.named_parameters()})
  state = here(model.state_dict())
  stats = {n: v for n, v in state.items() if n.startswith("batch_stats")}
  return {n: o.detach().numpy() for n, o in outputs.items()}, gradients, stats


def run_flax(
  model: Any,
  variables: Any,
  images: np.ndarray,
  weights: Any,
  train: bool,
  differentiate: bool,
) -> Any:
  """Returns the same of the Flax model."""

  def loss_fn(params):
    outputs, new = model.apply(
      variables | {"params": params}, images, train=train, mutable="batch_stats"
    )
    if not isinstance(outputs, dict):
      outputs = {"logits": outputs}
    loss = sum(
      jnp.sum(output * weights(name, output.shape))
      for name, output in outputs.items()
    )
    return loss, (outputs, new)

  if differentiate:
    step = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
    (_, (outputs, new)), gradients = step(variables["params"])
  else:
    (_, (outputs, new)), gradients = jax.jit(loss_fn)(variables["params"]), {}
  return (
    {name: np.asarray(output) for name, output in outputs.items()},
    _flat({"params": gradients}),
    _flat(new),
  )


def compare(
  head: str,
  size: tuple[int, int],
  variant: models.Variant,
  *,
  num_classes: int = CLASSES,
  batch_size: int = 1,
  train: bool = False,
  double: bool = False,
  gradients: bool = True,
  exact: bool = False,
  implementation: str = "auto",
  **fields: int,
) -> dict[str, float]:
  """Returns the differences, by what differs.

  Args:
    head: of HEADS.
    size: height and width of images.
    variant: of the backbone.
    num_classes: of the head.
    batch_size: images.
    train: use the batch's statistics.
    double: compute in float64.
    gradients: compute and compare them.
    exact: compare both with PyTorch in float64 too.
    implementation: as in `VAN`.
    **fields: channels of the head, and auxiliary_channels.
  """
  dtype = np.float64 if double else np.float32
  rng = np.random.default_rng(1)
  images = rng.standard_normal((batch_size, *size, 3)).astype(dtype)

  def weights(name, shape):
    own = np.random.default_rng(len(name))
    return own.standard_normal(tuple(shape)).astype(dtype)

  theirs = torch_model(head, variant, num_classes, **fields)
  theirs = theirs.to(torch.float64 if double else torch.float32)
  flat: Any = {n: v.astype(dtype) for n, v in here(theirs.state_dict()).items()}
  started = time.perf_counter()
  with torch.set_grad_enabled(gradients):
    expected = run_torch(theirs, images, weights, train)
  middle = time.perf_counter()
  with jax.enable_x64(double):
    ours = flax_model(head, variant, num_classes, **fields)
    ours = ours.clone(dtype=dtype, implementation=implementation)
    variables = traverse_util.unflatten_dict(flat, sep="/")
    found = run_flax(ours, variables, images, weights, train, gradients)
  seconds = {"torch": middle - started, "flax": time.perf_counter() - middle}
  gaps = _differences(found, expected, train)
  if exact:
    theirs.load_state_dict(
      torch_model(head, variant, num_classes, **fields).state_dict()
    )
    theirs.zero_grad()
    wide = run_torch(theirs.double(), images.astype(np.float64), weights, train)
    for name, run in (("flax", found), ("torch", expected)):
      for what, gap in _differences(run, wide, train).items():
        gaps[f"{name}_float64_{what}"] = gap
  return gaps | {f"{name}_seconds": value for name, value in seconds.items()}


def _differences(found: Any, expected: Any, train: bool) -> dict[str, float]:
  result = {}
  for name, output in expected[0].items():
    assert found[0][name].shape == output.shape, name
    result[name] = _gap(found[0][name], output)
  kinds = {"gradients": 1} if expected[1] else {}
  kinds |= {"statistics": 2} if train else {}
  for kind, i in kinds.items():
    # Before a BatchNorm of the batch a bias has no gradient but rounding's.
    floor = 1e-3 * max(np.max(np.abs(v)) for v in expected[i].values())
    gaps = {
      n: _gap(found[i][n], value, floor) for n, value in expected[i].items()
    }
    result[kind] = max(gaps.values())
    others = found[i].keys() - gaps.keys()
    # An auxiliary head has no part in inference: PyTorch has no gradient.
    assert all(not found[i][n].any() for n in others), others
  return result


def _gap(found: np.ndarray, expected: np.ndarray, floor: float = 0) -> float:
  """Returns the largest difference over the largest value."""
  gap = np.max(np.abs(found - expected))
  return float(gap / max(np.max(np.abs(expected)), floor))


def _flat(tree: Any) -> dict[str, np.ndarray]:
  flat: Any = traverse_util.flatten_dict(tree, sep="/")
  return {name: np.asarray(value) for name, value in flat.items()}


def main() -> None:
  """Prints one comparison."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--head", choices=HEADS, default="fpn")
  parser.add_argument("--variant", default="van_b0")
  parser.add_argument("--size", default="512x512", help="height x width")
  parser.add_argument("--batch_size", type=int, default=1)
  parser.add_argument("--train", action="store_true")
  parser.add_argument("--double", action="store_true")
  parser.add_argument("--exact", action="store_true")
  parser.add_argument("--threads", type=int, help="of PyTorch")
  flags = parser.parse_args()
  if flags.threads:
    torch.set_num_threads(flags.threads)
  height, width = map(int, flags.size.split("x"))
  found = compare(
    flags.head,
    (height, width),
    models.VARIANTS[flags.variant],
    batch_size=flags.batch_size,
    train=flags.train,
    double=flags.double,
    exact=flags.exact,
  )
  kind = "float64" if flags.double else "float32"
  mode = "training" if flags.train else "inference"
  figures = ", ".join(f"{name} {value:.1e}" for name, value in found.items())
  print(f"{flags.variant} {flags.head} {flags.size} {kind} {mode}: {figures}")


if __name__ == "__main__":
  main()
