"""Which file of a Hugging Face repository holds the weights."""

import pathlib

from van_jax import errors, storage
from van_jax.released import addresses, fetch
from van_jax.released.addresses import Address

# As transformers' save_pretrained names them; the first that is there.
_PREFERRED = ("model.safetensors", "pytorch_model.bin")
_SUFFIXES = (
  ".safetensors",
  ".bin",
  ".pth",
  ".pth.tar",
  ".pt",
  ".ckpt",
  ".pdparams",
)
# What belongs to weights of transformers' names, where it lies beside them.
_BESIDE = ("config.json", "preprocessor_config.json")


def address(
  text: str, folder: pathlib.Path, beside: tuple[str, ...] | None
) -> Address | None:
  """Returns the address that hf://... stands for; None for other texts.

  Args:
    text: as a user writes it.
    folder: the cache's, for the list of a repository's files.
    beside: files that belong to it; None for transformers' own.

  Raises:
    UserError: if it names no file, and the repository has not exactly one.
  """
  repository = addresses.repository(text)
  if repository is None:
    return None
  if not repository.file:
    repository = repository.with_file(_choose(repository, text, folder))
  if beside is None:
    beside = _BESIDE if repository.file in _PREFERRED else ()
  return repository.address(text, beside)


def _choose(
  repository: addresses.Repository, text: str, folder: pathlib.Path
) -> str:
  listing = fetch.fetch_listing(repository, folder)
  try:
    fields = storage.read_json(listing)
    files = [str(entry["rfilename"]) for entry in fields["siblings"]]
  except (ValueError, KeyError, TypeError) as error:
    listing.unlink()
    raise errors.UserError(
      f"{text}: the hub's answer is no list of files; name the file, "
      f"hf://{repository.name}/FILE."
    ) from error
  for name in _PREFERRED:
    if name in files:
      return name
  found = [name for name in files if name.endswith(_SUFFIXES)]
  if len(found) == 1 and addresses.is_file_of_hub(found[0]):
    return found[0]
  listing.unlink()  # It may be another next time.
  listed = ", ".join(found[:8]) or "none"
  raise errors.UserError(
    f"{text}: of its files, these look like weights: {listed}; name the one, "
    f"hf://{repository.name}/FILE."
  )
