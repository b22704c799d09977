"""Other projects' weights: read, written, and compared with ours."""
