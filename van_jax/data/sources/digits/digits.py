"""The digits as a source: prepared where they are not yet."""

from collections.abc import Callable

from van_jax.data.sources import tfds
from van_jax.data.sources.split import Split


def opener(
  directory: str, *, shuffle_megabytes: int = 512
) -> Callable[[str], Split]:
  """Returns the function that opens "train", "test", or a slice of them.

  Args:
    directory: where to prepare them, as a TFDS data set.
    shuffle_megabytes: as of all TFDS data sets.
  """
  return tfds.opener(
    directory, name="digits", shuffle_megabytes=shuffle_megabytes
  )
