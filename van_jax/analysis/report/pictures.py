"""Images as a page holds them, and maps of attention laid over them."""

import base64
import io

import numpy as np
from PIL import Image

_SIDE = 160  # Pixels, at most, of a picture on the page.
_SMALL = 64  # Up to it a picture is kept as it is, without loss.
_LOOSE_QUALITY = 85
# From where nothing is seen to where most is: dark blue, red, yellow.
_HEAT = np.array([[20, 20, 80], [150, 20, 110], [240, 90, 40], [255, 240, 120]])


def data_uri(image: np.ndarray) -> str:
  """Returns an image, uint8 [H, W, 3], as the address of itself."""
  picture = Image.fromarray(image)
  picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
  content = io.BytesIO()
  if max(picture.size) <= _SMALL:
    picture.save(content, "PNG", optimize=True)
    kind = "png"
  else:
    picture.save(content, "JPEG", quality=_LOOSE_QUALITY)
    kind = "jpeg"
  return (
    f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
  )


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
  """Returns a grey image that is coloured where a map is high.

  Args:
    image: uint8 [H, W, 3].
    heat: float [h, w] in [0, 1], of any size; scaled to the image's.

  Returns:
    uint8 [H, W, 3].
  """
  grey = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
  small = Image.fromarray(np.nan_to_num(heat).astype(np.float32))
  size = (image.shape[1], image.shape[0])
  scaled = np.asarray(small.resize(size, Image.Resampling.BILINEAR))
  scaled = np.clip(scaled, 0, 1)[..., None]
  anchors = np.linspace(0, 1, len(_HEAT))
  colours = np.stack(
    [np.interp(scaled[..., 0], anchors, _HEAT[:, c]) for c in range(3)], axis=2
  )
  blended = (1 - 0.6 * scaled) * grey + 0.6 * scaled * colours
  return np.round(blended).astype(np.uint8)
