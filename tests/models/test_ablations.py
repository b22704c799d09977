"""The best dilation of a kernel, and rows of ablations as networks."""

import json

import pytest

from van_jax import errors, models


def eq_3(kernel_size, dilation, channels):
  """Returns the parameters of arXiv:2202.09741, Eq. 3."""
  second = (kernel_size + dilation - 1) // dilation
  return channels * (second**2 + (2 * dilation - 1) ** 2 + channels)


@pytest.mark.parametrize("channels", [1, 512])
def test_no_dilation_has_fewer_parameters_than_the_best(channels):
  for kernel_size in range(1, 80):
    costs = {d: eq_3(kernel_size, d, channels) for d in range(1, 90)}
    best = models.best_dilation(kernel_size)
    assert costs[best] == min(costs.values())
    assert all(costs[d] > costs[best] for d in range(1, best))


@pytest.mark.parametrize(
  ("kernel_size", "dilation"), [(7, 2), (14, 3), (21, 3), (28, 4)]
)
def test_the_papers_dilations_are_the_best(kernel_size, dilation):
  assert models.best_dilation(kernel_size) == dilation


def test_a_kernel_without_a_size_has_no_best_dilation():
  with pytest.raises(errors.UserError, match=r"kernel_size=0 must be a whole"):
    models.best_dilation(0)


def test_lka_without_a_dilation_is_that_of_the_best():
  chosen = {"name": "lka", "kernel_size": 28, "dilation": None}
  model = models.create_model("van_b0", attention=chosen)
  assert model == models.create_ablation("k28_d4")
  # A file says the number, and not how it was found.
  fields = json.loads(json.dumps(models.architecture(model)))
  assert fields["attention"]["dilation"] == 4


def test_a_dilation_is_no_word():
  with pytest.raises(errors.UserError, match=r"dilation='3' must be a whole"):
    models.create_model("van_b0", attention={"name": "lka", "dilation": "3"})


def test_an_ablation_is_of_a_smaller_network_too():
  small = models.create_ablation(
    "w_o_dw_d", num_classes=2, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1)
  )
  assert small.attention["convs"] == ("depthwise", "pointwise")
  assert (small.widths, small.num_classes) == ((8, 8, 16, 16), 2)
  assert models.create_ablation("van_b1_w_o_ls").layer_scale_init is None


def test_an_unknown_ablation_is_answered_with_the_nearest():
  with pytest.raises(errors.UserError, match=r"'sigmod' is no .*are sigmoid"):
    models.create_ablation("sigmod")
