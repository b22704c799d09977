"""The segmentation task: its loss in training, and its scores of images."""

import functools

import dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from van_jax import parallel, tasks
from van_jax.evaluation import evaluator
from van_jax.ops import pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@functools.cache
def task(**options):
  return tasks.create_task(
    name="segmentation",
    options=options,
    num_classes=dense.CLASSES,
    mean=MEAN,
    std=STD,
    loss=None,  # A run offers it; segmentation has its own.
  )


def scores_of(size, devices=1):
  model = dense.Dense()
  step = evaluator.make_eval_step(
    apply=model.apply,
    inputs=task().inputs,
    sums=task().sums,
    mesh=parallel.create_mesh(jax.devices()[:devices]),
  )
  return evaluator.evaluate(
    step,
    dense.variables(),
    dense.batches(*dense.examples(), size),
    task().scores,
  )


@pytest.fixture(scope="module")
def one_by_one():
  return scores_of(1)


def large(x, size):
  """Returns logits [B, K, h, w] at another size."""
  return torch.nn.functional.interpolate(
    x, size, mode="bilinear", align_corners=False
  )


def test_scores_are_those_of_whole_images_in_numpy(one_by_one):
  images, masks = dense.examples()
  inputs = (images / 255 - MEAN) / STD
  logits = dense.apply()(
    dense.variables(), jnp.asarray(inputs, jnp.float32), train=False
  )
  logits = torch.tensor(np.asarray(logits)).movedim(3, 1)
  answers, losses = [], []
  for x, mask in zip(logits, masks, strict=True):
    seen = large(x[None], images.shape[1:3])  # Then to the mask's own size.
    own = large(seen, mask.shape)
    answers.append(own.argmax(1)[0].numpy().ravel())
    losses.append(
      torch.nn.functional.cross_entropy(
        own, torch.tensor(mask)[None], ignore_index=255, reduction="sum"
      )
    )
  true = np.concatenate([mask.ravel() for mask in masks])
  answer = np.concatenate(answers)
  counted = true != 255
  iou = [
    np.sum(counted & (answer == k) & (true == k))
    / np.sum(counted & ((answer == k) | (true == k)))
    for k in range(dense.CLASSES)
  ]
  assert one_by_one["per_class_IoU"] == iou
  assert one_by_one["mIoU"] == pytest.approx(np.mean(iou), rel=1e-12)
  assert one_by_one["pixels"] == counted.sum()
  assert one_by_one["count"] == len(masks)
  # A mean of 5,000 float32 losses.
  expected = float(sum(losses)) / counted.sum()
  assert one_by_one["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("size", "devices"), [(3, 1), (8, 8)])
def test_batches_and_devices_do_not_matter(one_by_one, size, devices):
  other = scores_of(size, devices)
  expected = dict(one_by_one)
  # Float32 sums of 5,000 losses in another order.
  assert other.pop("loss") == pytest.approx(expected.pop("loss"), rel=1e-5)
  assert other == expected


def training_batch(key):
  """Returns outputs of two heads and labels, of odd sizes."""
  main, auxiliary = jax.random.split(key)
  numbers = np.random.default_rng(3)
  labels = numbers.integers(0, dense.CLASSES, (8, 33, 49))
  labels[numbers.random(labels.shape) < 0.3] = 255
  labels[1] = 255  # An image that is all void.
  outputs = {
    "logits": 3 * jax.random.normal(main, (8, 9, 13, dense.CLASSES)),
    "auxiliary": 3 * jax.random.normal(auxiliary, (8, 11, 7, dense.CLASSES)),
  }
  return outputs, labels.astype(np.uint8)


def test_loss_and_gradients_are_mmsegmentations(key):
  outputs, labels = training_batch(key)
  weights = (0.5, 1.0, 2.0, 1.0, 3.0)
  options = {"class_weights": weights, "auxiliary_weight": 0.3}
  (loss, metrics), gradients = jax.jit(
    jax.value_and_grad(task(**options).loss, has_aux=True)
  )(outputs, labels)
  heads = {
    name: torch.tensor(np.asarray(x), requires_grad=True)
    for name, x in outputs.items()
  }
  target = torch.tensor(labels.astype(np.int64))
  each = {
    name: torch.nn.functional.cross_entropy(
      large(x.movedim(3, 1), labels.shape[1:]),
      target,
      weight=torch.tensor(weights),
      ignore_index=255,
      reduction="none",
    ).mean()  # Over void pixels too.
    for name, x in heads.items()
  }
  expected = each["logits"] + 0.3 * each["auxiliary"]
  expected.backward()
  assert float(loss) == pytest.approx(expected.item(), rel=2e-6)
  assert float(metrics["auxiliary_loss"]) == pytest.approx(
    each["auxiliary"].item(), rel=2e-6
  )
  for name, x in heads.items():
    # Of numbers of up to 1e-3, sums of some hundred terms.
    np.testing.assert_allclose(gradients[name], np.asarray(x.grad), atol=1e-8)
  assert not gradients["logits"][1].any()  # Nothing to learn in the void.
  answers = large(heads["logits"].movedim(3, 1), labels.shape[1:]).argmax(1)
  right = (answers == target).sum() / (target != 255).sum()
  assert float(metrics["pixel_accuracy"]) == pytest.approx(float(right))


def test_hard_pixels_alone_make_the_loss(key):
  outputs, labels = training_batch(key)
  loss = {
    kept: jax.jit(task(ohem_min_kept=kept, ohem_threshold=0.2).loss)(
      outputs["logits"], labels
    )[0]
    for kept in (1, 33 * 49, 2**30)  # Times B it is no int32.
  }
  x = torch.tensor(np.asarray(outputs["logits"])).movedim(3, 1)
  losses = torch.nn.functional.cross_entropy(
    large(x, labels.shape[1:]),
    torch.tensor(labels.astype(np.int64)),
    ignore_index=255,
    reduction="none",
  ).double()
  hard = torch.where(torch.exp(-losses) < 0.2, losses, 0)
  assert float(loss[1]) == pytest.approx(float(hard.mean()), rel=2e-6)
  # As mmsegmentation: of all that there are the very easiest one is left out.
  assert float(loss[33 * 49]) == pytest.approx(float(losses.mean()), rel=2e-6)
  assert loss[2**30] == loss[33 * 49]


def test_devices_share_the_loss_and_exchange_no_logits(key, monkeypatch):
  monkeypatch.setattr(pixels, "BAND_BYTES", 4 * 8 * 49 * 5)  # 8 of 33 rows.
  outputs, labels = training_batch(key)
  mesh = parallel.create_mesh()
  split = parallel.split_by_example(mesh)
  gradient = jax.value_and_grad(
    lambda outputs, labels: task(ohem_min_kept=200).loss(outputs, labels)[0]
  )
  program = jax.jit(gradient, in_shardings=(split, split)).lower(
    outputs, labels
  )
  compiled = program.compile()
  placed = jax.device_put((outputs, labels), split)
  loss, gradients = compiled(*placed)
  expected, expected_gradients = jax.jit(gradient)(outputs, labels)
  assert float(loss) == pytest.approx(float(expected), rel=2e-6)
  for name in outputs:
    np.testing.assert_allclose(
      gradients[name], expected_gradients[name], atol=1e-8
    )
  text = compiled.as_text() or ""
  assert "all-reduce" in text
  for exchange in ("all-gather", "all-to-all", "collective-permute"):
    assert exchange not in text


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"class_weights": (1.0, 2.0)}, r"class_weights has 2 .*num_classes=5"),
    ({"class_weights": (1.0,) * 4 + (-1.0,)}, "must be 0 or more"),
    ({"auxiliary_weight": -0.4}, r"auxiliary_weight=-0\.4 must be 0 or more"),
    ({"ohem_min_kept": 0}, "ohem_min_kept=0 must be 1 or more"),
    ({"ohem_threshold": 1.5}, r"ohem_threshold=1\.5 must be above 0"),
  ],
)
def test_options_out_of_range_are_errors(options, message):
  with pytest.raises(ValueError, match=message):
    task(**options)


@pytest.mark.parametrize("num_classes", [1, 256])
def test_classes_must_fit_a_byte_beside_void(num_classes):
  with pytest.raises(ValueError, match=f"num_classes={num_classes} must be"):
    tasks.create_task(
      name="segmentation", num_classes=num_classes, mean=MEAN, std=STD
    )


@pytest.mark.parametrize(
  ("logits", "labels", "message"),
  [
    ((2, 8, 8, 5), (2,), r"label \(2,\) must be \[B, H, W\]"),
    ((2, 5), (2, 8, 8), r"logits \(2, 5\) must be .*segmentation head"),
    ((2, 8, 8, 4), (2, 8, 8), r"logits \(2, 8, 8, 4\) must be .*, 5\]"),
  ],
)
def test_data_and_models_of_another_task_are_errors(logits, labels, message):
  with pytest.raises(ValueError, match=message):
    task().loss(jnp.zeros(logits), np.zeros(labels, np.uint8))


def test_a_class_beyond_the_last_makes_the_loss_nan(key):
  outputs, labels = training_batch(key)
  labels[0, 0, 0] = dense.CLASSES
  assert np.isnan(jax.jit(task().loss)(outputs["logits"], labels)[0])
