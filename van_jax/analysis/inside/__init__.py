"""What goes on in a trained network, as arrays.

Functions take a model, which is a VAN or holds one, its variables, and
normalised images [B, H, W, 3]; they give NumPy arrays. Pictures of those are
`analysis.drawing`'s.
"""
