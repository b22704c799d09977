"""The augmentation that changes nothing, and what a test changes of it."""

from typing import Any

from van_jax import data

OPTIONS: dict[str, Any] = {
  "image_size": 32,
  "crop": "none",
  "crop_scale": (0.08, 1.0),
  "crop_ratio": (3 / 4, 4 / 3),
  "pad_pixels": 4,
  "pad_mode": "reflect",
  "interpolation": "bicubic",
  "flip_probability": 0.0,
  "policy": "none",
  "randaugment_ops": 2,
  "randaugment_magnitude": 9.0,
  "randaugment_std": 0.5,
  "randaugment_probability": 0.5,
  "color_jitter": 0.0,
  "fill_color": (128, 127, 130),
  "repeats": 1,
}


def augmentation(**options) -> data.Augmentation:
  """Returns it with these options."""
  return data.Augmentation(**(OPTIONS | options))
