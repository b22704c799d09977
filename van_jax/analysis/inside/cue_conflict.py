"""Images whose shape is of one class and whose texture is of another."""

from typing import Any, NamedTuple

import numpy as np

from van_jax import errors


class CueConflicts(NamedTuple):
  """N stylised images.

  Attributes:
    images: [N, H, W, 3] float32.
    shape_labels: [N], the classes of the photographs that gave the phases.
    texture_labels: [N], of those that gave the amplitudes.
    shape_from: [N], the numbers of those photographs.
    texture_from: [N], likewise.
  """

  images: np.ndarray
  shape_labels: np.ndarray
  texture_labels: np.ndarray
  shape_from: np.ndarray
  texture_from: np.ndarray


def cue_conflicts(
  images: Any, labels: Any, *, seed: int, count: int | None = None
) -> CueConflicts:
  """Returns stylised pairs of photographs of different classes.

  The Fourier phases of one and the amplitudes of the other, a channel at a
  time. Phases hold the places of edges, and with them what is seen (Oppenheim
  and Lim, "The importance of phase in signals", 1981); amplitudes hold how much
  there is of each frequency and direction, wherever it is. Chen et al.,
  "Amplitude-Phase Recombination", ICCV 2021, swap them as we do, and show that
  convolutional networks listen to amplitudes more than people. The mean colour
  is the texture's. Values beyond the two photographs' own range are clipped.

  It needs no network, where Geirhos et al. (arXiv:1811.12231) transfer style
  by VGG's features; and an amplitude spectrum is a weaker texture than theirs:
  it has no phase-locked structure such as fur's or scales', and an image keeps
  its shape well. So numbers are not to be set beside those of that paper; they
  compare models on the same pairs.

  Args:
    images: [N, H, W, 3], floating, normalised or not.
    labels: [N], whole numbers.
    seed: of the choice of partners.
    count: of pairs; None for one a photograph. Shapes are taken in a random
      order, each photograph as often as any other, give or take one.

  Raises:
    UserError: if images and labels do not fit, or all are of one class.
  """
  images, labels = np.asarray(images), np.asarray(labels)
  kinds = images.dtype.kind == "f" and labels.dtype.kind in "iu"
  if images.ndim != 4 or labels.shape != images.shape[:1] or not kinds:
    raise errors.UserError(
      f"images {images.shape} of {images.dtype} and labels {labels.shape} of "
      f"{labels.dtype} must be floating [N, H, W, 3] and whole numbers [N]."
    )
  if not np.isfinite(images).all():
    raise errors.UserError(
      "images have values that are NaN or infinite, which would be all over "
      "whatever is made of them; leave those images out."
    )
  if len(np.unique(labels)) < 2:
    raise errors.UserError(
      "labels has one class; a conflict takes photographs of two at least."
    )
  count = len(images) if count is None else count
  if count < 1:
    raise errors.UserError(f"count={count} must be at least 1.")
  generator = np.random.default_rng(seed)
  rounds = -(-count // len(images))
  orders = [generator.permutation(len(images)) for _ in range(rounds)]
  shape_from = np.concatenate(orders)[:count]
  texture_from = np.array(
    [generator.choice(np.flatnonzero(labels != labels[i])) for i in shape_from]
  )
  stylised = [
    recombined(images[i], images[j])
    for i, j in zip(shape_from, texture_from, strict=True)
  ]
  return CueConflicts(
    np.stack(stylised),
    labels[shape_from],
    labels[texture_from],
    shape_from,
    texture_from,
  )


def recombined(shape: np.ndarray, texture: np.ndarray) -> np.ndarray:
  """Returns one image's phases with another one's amplitudes, float32.

  Args:
    shape: [H, W, 3].
    texture: [H, W, 3].
  """
  axes = (0, 1)
  of_shape = np.fft.rfft2(shape.astype(np.float64), axes=axes)
  of_texture = np.fft.rfft2(texture.astype(np.float64), axes=axes)
  mixed = np.abs(of_texture) * np.exp(1j * np.angle(of_shape))
  mixed[0, 0] = of_texture[0, 0]  # The mean, whose sign is its phase.
  image = np.fft.irfft2(mixed, s=shape.shape[:2], axes=axes)
  low = np.minimum(shape.min(axes), texture.min(axes))
  high = np.maximum(shape.max(axes), texture.max(axes))
  return np.clip(image, low, high).astype(np.float32)
