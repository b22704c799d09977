"""The check of the sizes that attentions are given."""

from van_jax import errors


def check_sizes(**sizes: int) -> None:
  """Raises UserError unless the sizes, by name, are whole and at least 1."""
  for name, size in sizes.items():
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
      raise errors.UserError(
        f"{name}={size!r} must be a whole number, at least 1."
      )
