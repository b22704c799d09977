"""Published weights by name: their table, downloads, and cached bundles.

bundle = load_pretrained("van_b0")
print(list_pretrained())
"""

from van_jax.released.listing import list_pretrained
from van_jax.released.load import load_pretrained, local_bundle, local_file

__all__ = ["list_pretrained", "load_pretrained", "local_bundle", "local_file"]
