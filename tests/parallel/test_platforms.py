"""What JAX says of platforms that there are not, in one line."""

import jax
import pytest

from van_jax import errors, parallel


@pytest.mark.parametrize(
  ("error", "reason"),
  [
    (
      RuntimeError(
        "Unable to initialize backend 'gpux': it is not known. (set "
        "JAX_PLATFORMS='' to automatically choose an available backend)"
      ),
      "names: Unable to initialize backend 'gpux': it is not known; install",
    ),
    (AssertionError(), "names: it is not there; install"),  # Of "cuda".
  ],
)
def test_a_platform_that_there_is_not_is_named(error, reason, monkeypatch):
  def devices():
    raise error

  monkeypatch.setattr(jax, "devices", devices)
  monkeypatch.setenv("JAX_PLATFORMS", "gpux")
  with pytest.raises(errors.UserError, match="JAX_PLATFORMS='gpux'") as info:
    parallel.check_platforms()
  assert reason in str(info.value)
  assert "unset JAX_PLATFORMS" in str(info.value)
