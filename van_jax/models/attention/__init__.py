"""Attentions, one file each; `table.py` knows them by name."""
