"""A segmenter's training step and inference, for benchmarks/model.py.

`benchmarks/model.py --models=van_b0+fpn --size=512 --batch=2` takes them;
both sides have the same network, loss and sizes: logits at stride 4, brought to
the image's size, and there a cross-entropy or the likeliest class.
"""

import os
from collections.abc import Callable
from typing import Any

CLASSES = 150


def jax_run(job: dict[str, Any]) -> Callable[[], Any]:
  """Returns a function that runs our segmenter once."""
  import jax
  import jax.numpy as jnp

  from van_jax import host_memory, models, tasks
  from van_jax.ops import pixels

  host_memory.keep_on_cpus()
  name, head = job["model"].split("+")
  fields = {"num_classes": CLASSES, "head": head}
  if head == "upernet":
    fields["auxiliary"] = "fcn"
  model = models.create_segmenter(
    name,
    **fields,
    dtype=job["dtype"],
    implementation=job["name"].split()[1],
  )
  size = (job["size"], job["size"])
  images = jax.random.normal(jax.random.key(0), (job["batch"], *size, 3))
  labels = jax.random.randint(
    jax.random.key(1), (job["batch"], *size), 0, CLASSES
  )
  plain = model.clone(implementation="xla")
  variables = jax.jit(plain.init)(jax.random.key(1), images[:1])
  task = tasks.create_task(
    name="segmentation",
    num_classes=CLASSES,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
  )

  def loss(params, statistics, images):
    outputs, updated = model.apply(
      {"params": params, "batch_stats": statistics},
      images,
      train=True,
      mutable=["batch_stats"],
      rngs={"dropout": jax.random.key(2)},
    )
    return task.loss(outputs, labels)[0], updated

  @jax.jit
  def step(variables, images):
    gradient = jax.value_and_grad(loss, has_aux=True)
    return gradient(variables["params"], variables["batch_stats"], images)

  @jax.jit
  def infer(variables, images):
    logits: Any = model.apply(variables, images, train=False)
    view = pixels.View(logits, size)
    return pixels.map_pixels(
      lambda logits, _: pixels.likeliest(logits),
      [view],
      size,
      jnp.zeros_like(labels),
    )

  run = step if job["mode"] == "training" else infer
  return lambda: jax.block_until_ready(run(variables, images))


def torch_run(job: dict[str, Any]) -> Callable[[], Any]:
  """Returns a function that runs PyTorch's segmenter once."""
  import torch
  from torch.nn import functional

  from van_jax import models
  from van_jax.interop.proof import torch_segmenter, torch_van

  device = "cuda" if torch.cuda.is_available() else "cpu"
  if device == "cpu":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
  style = job["name"].split()[1]
  layout: Any = torch.channels_last
  if style == "contiguous":
    layout = torch.contiguous_format
  name, head = job["model"].split("+")
  variant = models.VARIANTS[name]
  make = {
    "fpn": torch_segmenter.semantic_fpn,
    "upernet": torch_segmenter.upernet,
  }[head]
  backbone = torch_van.TorchVAN(
    variant.widths, variant.depths, variant.ffn_ratios, num_classes=0
  )
  network: Any = make(backbone, variant.widths, CLASSES)
  if job["mode"] == "inference":
    network.auxiliary_head = None
  network = network.to(device, memory_format=layout)
  network.train(job["mode"] == "training")
  forward = torch.compile(network) if style == "compiled" else network
  shape = (job["batch"], 3, job["size"], job["size"])
  images = torch.randn(shape, device=device).to(memory_format=layout)
  labels = torch.randint(CLASSES, (job["batch"], *shape[2:]), device=device)
  half = torch.autocast(
    device, torch.bfloat16, enabled=job["dtype"] == "bfloat16"
  )

  def whole(logits):
    return functional.interpolate(
      logits.float(), shape[2:], mode="bilinear", align_corners=False
    )

  def run():
    if job["mode"] == "inference":
      with torch.no_grad(), half:
        whole(forward(images)[0]).argmax(1)
    else:
      network.zero_grad(set_to_none=True)
      with half:
        outputs = forward(images)
      losses = [
        weight * functional.cross_entropy(whole(logits), labels)
        for weight, logits in zip((1.0, 0.4), outputs, strict=True)
        if logits is not None
      ]
      torch.stack(losses).sum().backward()
    if device == "cuda":
      torch.cuda.synchronize()

  return run
