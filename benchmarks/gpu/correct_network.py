"""VAN's logits and gradients, against PyTorch's float64 on the host."""

import argparse
import concurrent.futures
import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.gpu import networks, reference
from van_jax.training.recipe import losses, smoothing

_BATCH = 4
# bfloat16 rounds each map of some fifty layers, and TF32 each factor.
TOLERANCES = {"float32": 1e-4, "TF32": 1e-2, "bfloat16": 1e-1}
_OURS = ("auto", "pallas_gpu")

Run = Callable[[], dict[str, Any]]


def runs(
  options: argparse.Namespace, pool: concurrent.futures.Executor
) -> Iterator[tuple[Run, dict[str, Any]]]:
  """Yields what is to be run, with its row's first columns; PyTorch's last.

  Args:
    options: of `correct`.
    pool: in which what they are compared with is computed.
  """
  from van_jax import ops

  job = {"model": options.model, "small": options.small}
  job["size"] = 32 if options.small else 224
  exact = pool.submit(torch_results, job, torch.float64, "cpu")
  case = f"{options.model}: logits, gradients"
  names = [name for name in _OURS if name in ops.list_implementations()]
  kinds = [(kind, name) for kind in ("float32", "bfloat16") for name in names]
  kinds.append(("TF32", "auto"))
  if options.small:
    kinds = [("float32", "xla"), ("bfloat16", "xla")]
  for kind, name in kinds:
    yield (
      functools.partial(_compared, exact, kind, our_results, job, kind, name),
      {"case": case, "dtype": kind, "name": name},
    )
  device = "cuda" if torch.cuda.is_available() else "cpu"
  dtype = torch.bfloat16
  yield (
    functools.partial(
      _compared, exact, "bfloat16", torch_results, job, dtype, device
    ),
    {"case": case, "dtype": "bfloat16", "name": "PyTorch's autocast"},
  )


def _compared(exact, kind, results, *arguments) -> dict[str, Any]:
  """Returns the row's rest: errors, all gradients in one, and the worst."""
  found, right = results(*arguments), exact.result()
  errors = {name: reference.error(found[name], right[name]) for name in right}
  # Biases before a BatchNorm have gradients of zero, and rounding's alone.
  worst = max(
    (name for name in right if np.linalg.norm(right[name]) > 1e-3),
    key=lambda name: errors[name],
  )
  names = sorted(right.keys() - {"logits"})
  flat = [
    np.concatenate([np.ravel(side[name]) for name in names])
    for side in (found, right)
  ]
  whole = reference.error(*flat)
  return {
    "forward": errors["logits"],
    "gradients": [whole],
    "worst": f"{worst} {errors[worst]:.1e}",
    "right": max(errors["logits"], whole) <= TOLERANCES[kind],
  }


def our_results(
  job: Mapping[str, Any], kind: str, name: str
) -> dict[str, np.ndarray]:
  """Returns logits, and gradients under PyTorch's names."""
  dtype = "bfloat16" if kind == "bfloat16" else "float32"
  model = networks.flax_model(job, dtype=dtype, implementation=name)
  variables = networks.weights(model)
  targets = smoothing.smooth_one_hot(
    jnp.asarray(networks.labels(model.num_classes, _BATCH)),
    model.num_classes,
    0.1,
  )

  def loss(params, statistics, images):
    logits, _ = model.apply(
      {"params": params, "batch_stats": statistics},
      images,
      train=True,
      mutable=["batch_stats"],
    )
    return losses.soft_cross_entropy(logits, targets)

  @jax.jit
  def run(variables, images):
    logits = model.apply(variables, images, train=False)
    gradients = jax.grad(loss)(
      variables["params"], variables["batch_stats"], images
    )
    return logits, gradients

  precision = contextlib.nullcontext()
  if kind != "TF32":
    precision = jax.default_matmul_precision("highest")
  with precision:
    logits, gradients = run(variables, networks.images(job, _BATCH))
  named = networks.under_torch_names(
    {"params": jax.tree.map(np.asarray, gradients)}
  )
  return {"logits": np.asarray(logits), **_weights_alone(named)}


def torch_results(
  job: Mapping[str, Any], dtype: torch.dtype, device: str
) -> dict[str, np.ndarray]:
  """Returns the same of PyTorch's; bfloat16 is autocast's, on a device."""
  model = networks.flax_model(job)
  arrays = networks.under_torch_names(networks.weights(model))
  network = networks.torch_model(job)
  network.load_state_dict(
    {name: torch.from_numpy(array) for name, array in arrays.items()}
  )
  half = contextlib.nullcontext()
  if dtype == torch.float64:
    network = network.double()
    reference.quicken(network)
  else:
    half = torch.autocast(device, dtype)
  network = network.to(device)
  images = torch.from_numpy(networks.images(job, _BATCH))
  images = images.to(device, next(network.parameters()).dtype)
  images = images.permute(0, 3, 1, 2)
  labels = torch.from_numpy(networks.labels(model.num_classes, _BATCH))
  with half:
    with torch.no_grad():
      logits = network.eval()(images)
    trained = network.train()(images)
  loss = torch.nn.functional.cross_entropy(
    trained if dtype == torch.float64 else trained.float(),
    labels.long().to(device),
    label_smoothing=0.1,
  )
  loss.backward()
  gradients = {n: p.grad.cpu().numpy() for n, p in network.named_parameters()}
  return {"logits": logits.double().cpu().numpy(), **gradients}


def _weights_alone(named: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns arrays but for BatchNorm's counters."""
  return {k: v for k, v in named.items() if not k.endswith("batches_tracked")}
