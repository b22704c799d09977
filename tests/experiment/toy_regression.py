"""A second task, in one file: the digit as a number, by least squares."""

import jax.numpy as jnp
import numpy as np

from van_jax.data.images import normalization
from van_jax.tasks import Task


def create(*, mean, std, scale=1.0):
  """Returns the task of predicting label * scale from an image.

  Args:
    mean: of the normalisation, of [0, 1] pixels.
    std: of the same.
    scale: of the numbers that are predicted; the task's own option.
  """

  def inputs(batch):
    return normalization.normalize(batch["image"], mean=mean, std=std)

  def targets(batch):
    return batch["label"].astype(jnp.float32) * scale

  def loss(outputs, numbers):
    error = jnp.mean((outputs[:, 0] - numbers) ** 2)
    return error, {"mean_output": jnp.mean(outputs)}

  def sums(outputs, batch):
    error = (outputs[:, 0] - targets(batch)) ** 2
    total = jnp.sum(jnp.where(batch["mask"], error, 0))
    return {"error": total, "count": jnp.sum(batch["mask"], dtype=jnp.int32)}

  def scores(totals):
    mse = float(totals["error"] / totals["count"])
    return {"rmse": float(np.sqrt(mse)), "count": int(totals["count"])}

  return Task(
    prepare=lambda key, batch: (inputs(batch), targets(batch)),
    loss=loss,
    inputs=inputs,
    sums=sums,
    scores=scores,
    best="rmse",
    best_mode="min",
  )
