"""ImageNet-C's error, against closed forms and the authors' numbers."""

import pytest

from van_jax.evaluation.imagenet import corruption

# AlexNet's top-1 errors by severity, as the authors publish them.
ALEXNET = {
  "gaussian_noise": (0.69528, 0.82542, 0.93554, 0.98138, 0.99452),
  "shot_noise": (0.71224, 0.85108, 0.93574, 0.98182, 0.99146),
  "impulse_noise": (0.78374, 0.89808, 0.9487, 0.9872, 0.99548),
  "defocus_blur": (0.65624, 0.73202, 0.85036, 0.91364, 0.94714),
  "glass_blur": (0.64308, 0.75054, 0.88806, 0.91622, 0.93344),
  "motion_blur": (0.5843, 0.70048, 0.82108, 0.8975, 0.92638),
  "zoom_blur": (0.70008, 0.76992, 0.80784, 0.84198, 0.87198),
  "snow": (0.71726, 0.88392, 0.86468, 0.9187, 0.94952),
  "frost": (0.6139, 0.79734, 0.8879, 0.89942, 0.9343),
  "fog": (0.67474, 0.7605, 0.84378, 0.8726, 0.945),
  "brightness": (0.4514, 0.48502, 0.54048, 0.62166, 0.7244),
  "contrast": (0.64548, 0.7615, 0.88874, 0.9776, 0.9927),
  "elastic_transform": (0.52596, 0.70116, 0.55686, 0.64076, 0.80554),
  "pixelate": (0.52218, 0.5462, 0.73728, 0.87092, 0.91262),
  "jpeg_compression": (0.51002, 0.54718, 0.57294, 0.65458, 0.74778),
}


def accuracies(errors):
  return {name: [1 - error for error in of] for name, of in errors.items()}


def test_alexnet_is_1_by_its_errors_at_each_severity():
  errors = corruption.corruption_errors(accuracies(ALEXNET))
  assert list(errors) == list(ALEXNET)
  # The table has six places, of errors of 0.56 and more.
  assert errors == pytest.approx(dict.fromkeys(ALEXNET, 1.0), abs=1e-6)
  assert corruption.mean_corruption_error(accuracies(ALEXNET)) == pytest.approx(
    1.0, abs=1e-6
  )


def test_a_model_that_is_always_right_has_no_error():
  assert corruption.mean_corruption_error(dict.fromkeys(ALEXNET, [1] * 5)) == 0


def test_one_corruption_weighs_one_fifteenth():
  top1 = dict.fromkeys(ALEXNET, [1.0] * 5)
  top1["fog"] = [1.0, 1.0, 1.0, 1.0, 0.0]  # An error of 1 in 5.
  assert corruption.mean_corruption_error(top1) == pytest.approx(
    0.2 / 0.819324 / 15, rel=1e-12
  )


def test_extra_corruptions_do_not_count():
  top1 = dict.fromkeys(ALEXNET, [0.5] * 5)
  extra = dict.fromkeys(corruption.EXTRA_CORRUPTIONS, [0.0] * 5)
  assert corruption.mean_corruption_error(
    top1 | extra
  ) == corruption.mean_corruption_error(top1)


@pytest.mark.parametrize("accuracies", [[], [1.0] * 4])
def test_a_corruption_or_severity_that_is_missing_is_an_error(accuracies):
  top1 = dict.fromkeys(ALEXNET, [1.0] * 5) | {"snow": accuracies}
  with pytest.raises(ValueError, match=f"snow has {len(accuracies)} acc"):
    corruption.mean_corruption_error(top1)
