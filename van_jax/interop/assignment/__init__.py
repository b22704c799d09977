"""Which tensor of a file is which array of ours: all of them, or none."""
