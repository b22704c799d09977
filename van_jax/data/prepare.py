"""Prepares a TFDS data set.

  python -m van_jax.data.prepare NAME --directory=DIRECTORY

NAME is "digits" or any TFDS name; TFDS may then download it. Archives that must
be fetched by hand (imagenet2012) lie in DIRECTORY/downloads/manual.
"""

import argparse
import sys

from van_jax import errors, places
from van_jax.data.sources import tfds_folders


def main(arguments: list[str] | None = None) -> None:
  """Prepares the data set that the command line names."""
  parser = argparse.ArgumentParser(
    prog="python -m van_jax.data.prepare",
    description="Prepares a data set.",
  )
  parser.add_argument("name", help="digits, or any TFDS name")
  parser.add_argument(
    "--directory",
    required=True,
    help="folder to write it below, config.data.directory; ~ and gs:// too",
  )
  options = parser.parse_args(arguments)
  try:
    places.check_writable(options.directory, "--directory", inside=True)
    tfds_folders.prepare(options.name, options.directory)
  except errors.UserError as error:
    parser.exit(1, f"error: {error}\n")
  print(f"{options.name} is ready in {options.directory}.", file=sys.stderr)


if __name__ == "__main__":
  main()
