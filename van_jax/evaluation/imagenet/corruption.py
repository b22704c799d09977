"""ImageNet-C's corruptions, and its mean corruption error.

Hendrycks and Dietterich, arXiv 1903.12261, section 4: a corruption's error is
the sum of a model's top-1 errors at the five severities, divided by AlexNet's;
mCE is its mean over the 15 corruptions of the benchmark.
"""

from collections.abc import Mapping, Sequence

from van_jax import errors

SEVERITIES = (1, 2, 3, 4, 5)

# AlexNet's top-1 error, mean of the five severities; the authors' repository,
# hendrycks/robustness, has them to six places.
ALEXNET_ERRORS = {
  "gaussian_noise": 0.886428,
  "shot_noise": 0.894468,
  "impulse_noise": 0.922640,
  "defocus_blur": 0.819880,
  "glass_blur": 0.826268,
  "motion_blur": 0.785948,
  "zoom_blur": 0.798360,
  "snow": 0.866816,
  "frost": 0.826572,
  "fog": 0.819324,
  "brightness": 0.564592,
  "contrast": 0.853204,
  "elastic_transform": 0.646056,
  "pixelate": 0.717840,
  "jpeg_compression": 0.606500,
}
CORRUPTIONS = tuple(ALEXNET_ERRORS)
# The authors' hold-out corruptions, for development; not in mCE.
EXTRA_CORRUPTIONS = ("speckle_noise", "gaussian_blur", "spatter", "saturate")


def corruption_errors(top1: Mapping[str, Sequence[float]]) -> dict[str, float]:
  """Returns the corruption error of each benchmark corruption, 1 = AlexNet's.

  Args:
    top1: by corruption, accuracies in [0, 1] at the five severities. All 15
      must be there; others are left out.
  """
  found = {}
  for name in CORRUPTIONS:
    if len(top1.get(name, ())) != len(SEVERITIES):
      raise errors.UserError(
        f"{name} has {len(top1.get(name, ()))} accuracies and must have "
        f"{len(SEVERITIES)}, one a severity; mCE is of all 15 corruptions."
      )
    error = 1 - sum(top1[name]) / len(SEVERITIES)
    found[name] = error / ALEXNET_ERRORS[name]
  return found


def mean_corruption_error(top1: Mapping[str, Sequence[float]]) -> float:
  """Returns mCE as a fraction: 1 is AlexNet's; papers print it in percent."""
  found = corruption_errors(top1)
  return sum(found.values()) / len(found)
