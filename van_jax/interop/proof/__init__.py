"""Proof that weights survived: PyTorch and Flax on the same images."""
