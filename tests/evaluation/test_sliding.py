"""Sliding windows, against mmsegmentation's loop over them."""

import dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from van_jax.evaluation import sliding


def slide_inference(images, window, stride):
  """Returns the mean logits [B, H, W, K], window by window as there."""
  total = torch.zeros(*images.shape[:3], dense.CLASSES)
  times = torch.zeros(*images.shape[:3], 1)
  whole = images.shape[1:3]
  grids = [
    max(whole[i] - window[i] + stride[i] - 1, 0) // stride[i] + 1
    for i in (0, 1)
  ]
  for down in range(grids[0]):
    for across in range(grids[1]):
      bottom = min(down * stride[0] + window[0], whole[0])
      right = min(across * stride[1] + window[1], whole[1])
      top, left = max(bottom - window[0], 0), max(right - window[1], 0)
      part = jnp.asarray(images[:, top:bottom, left:right])
      logits = dense.apply()(dense.variables(), part, train=False)
      logits = torch.nn.functional.interpolate(
        torch.tensor(np.asarray(logits)).movedim(3, 1),
        part.shape[1:3],
        mode="bilinear",
        align_corners=False,
      )
      total[:, top:bottom, left:right] += logits.movedim(1, 3)
      times[:, top:bottom, left:right] += 1
  return (total / times).numpy()


@pytest.mark.parametrize(
  ("window", "stride"),
  [((16, 24), (10, 16)), ((64, 24), None)],
  ids=["overlapping", "higher than the image"],
)
def test_windows_are_mmsegmentations(key, window, stride):
  images = np.array(jax.random.normal(key, (2, 37, 53, 3)))
  apply = sliding.make_apply(dense.Dense().apply, window=window, stride=stride)
  ours = jax.jit(apply, static_argnames="train")(
    dense.variables(), images, train=False
  )
  expected = slide_inference(images, window, stride or (42, 16))
  # Logits of up to 10, in float32.
  np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_the_last_window_ends_where_the_image_does():
  assert sliding.starts(683, 512, 341) == [0, 171]
  assert sliding.starts(1024, 512, 341) == [0, 341, 512]
  assert sliding.starts(512, 512, 341) == [0]
