"""What all heads refuse of their fields."""

from van_jax import errors


def check_positive(**sizes: int) -> None:
  """Raises UserError for a number of channels or layers below 1."""
  for name, size in sizes.items():
    if size < 1:
      raise errors.UserError(f"{name}={size} must be at least 1.")


def check_rate(**rates: float) -> None:
  """Raises UserError for what is no fraction to drop."""
  for name, rate in rates.items():
    if not 0 <= rate < 1:
      raise errors.UserError(
        f"{name}={rate} must be at least 0 and below 1; it is the fraction "
        "that is dropped."
      )
